//! Deliveries: claimed, sent, settled, listed, sent again.

pub(crate) mod auto_disable;
pub(crate) mod bulk_resend;
pub(crate) mod changes;
pub(crate) mod claim;
pub(crate) mod direct_url;
pub(crate) mod list;
pub(crate) mod order;
pub(crate) mod outcomes;
pub(crate) mod replay_search;
pub(crate) mod replays;
