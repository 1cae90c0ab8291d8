//! The engine against a real store and endpoints on local ports. Waits are for conditions, with a deadline.

mod by_hand;
mod harness;
mod lane_views;
mod life;
mod order;
#[path = "../../../tests/it/receiver.rs"]
#[allow(dead_code, reason = "tests of the whole gateway ask more of it")]
mod receiver;
mod simulation;
mod unreadable;
mod webhook_rate;
