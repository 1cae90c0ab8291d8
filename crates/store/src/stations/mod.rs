//! Stations: created, listed, connected, silent, and the certificates that they request.

pub(crate) mod certificate_signing;
pub(crate) mod connections;
pub(crate) mod list;
pub(crate) mod presence;
pub(crate) mod provisioning;
mod station_event;
