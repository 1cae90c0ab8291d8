//! Stations: provisioned, connected, silent, and what is known of them.

pub(crate) mod boot_loops;
pub(crate) mod certificate_renewal;
pub(crate) mod certificate_signing;
pub(crate) mod configuration;
pub(crate) mod connections;
pub(crate) mod flags;
pub(crate) mod handshake_facts;
pub(crate) mod local_list;
pub(crate) mod password_change;
pub(crate) mod presence;
pub(crate) mod provisioning;
pub(crate) mod unsupported_actions;
