//! Stations: provisioned, connected, silent, and what is known of them.

pub(crate) mod certificate_signing;
pub(crate) mod connections;
pub(crate) mod presence;
pub(crate) mod provisioning;
