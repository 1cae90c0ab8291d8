//! Stations: created, listed, connected, silent, and the certificates that they request.

pub(crate) mod certificate_signing;
pub(crate) mod connections;
pub(crate) mod connector_list;
pub(crate) mod filter;
pub(crate) mod list;
pub(crate) mod presence;
pub(crate) mod provisioning;
pub(crate) mod refusals;
mod selection;
mod station_event;
mod summary;
