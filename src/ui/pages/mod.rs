//! The pages, a file for each. No page knows another one.

pub(super) mod audit;
pub(super) mod bulk_command;
pub(super) mod bulk_commands;
pub(super) mod bulk_form;
pub(super) mod command;
pub(super) mod command_form;
pub(super) mod commands;
pub(super) mod deliveries;
pub(super) mod delivery;
pub(super) mod event;
pub(super) mod events;
pub(super) mod find;
pub(super) mod keys;
pub(super) mod overview;
pub(super) mod reports;
pub(super) mod resend;
pub(super) mod session;
pub(super) mod sessions;
pub(super) mod station;
pub(super) mod stations;
pub(super) mod system;
pub(super) mod tags;
pub(super) mod webhook;
pub(super) mod webhook_form;
pub(super) mod webhook_replay;
pub(super) mod webhooks;
