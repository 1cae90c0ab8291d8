//! Deliveries: claims, outcomes, lists, resends and replays.
//!
//! The automatic disabling of webhooks (`auto_disable`) is here too: the outcomes of attempts lead to it, in
//! the commit that writes them.

pub(crate) mod answers;
pub(crate) mod auto_disable;
pub(crate) mod changes;
pub(crate) mod claim;
pub(crate) mod dead_letters;
pub(crate) mod direct_url;
pub(crate) mod lane_settings;
pub(crate) mod lanes;
pub(crate) mod lately;
pub(crate) mod list;
pub(crate) mod order;
pub(crate) mod outcomes;
pub(crate) mod replays;
pub(crate) mod tallies;
pub(crate) mod webhook_events;
