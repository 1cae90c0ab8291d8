//! What is known of each station: its flags and configuration, its local list, and the change of its password
//! or certificate.

pub(crate) mod boot_loops;
pub(crate) mod certificate_renewal;
pub(crate) mod configuration;
pub(crate) mod flags;
pub(crate) mod handshake_facts;
pub(crate) mod local_list;
pub(crate) mod password_change;
pub(crate) mod rejected_messages;
pub(crate) mod unsupported_actions;
