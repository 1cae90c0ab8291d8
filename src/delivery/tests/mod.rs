//! The engine against a real store and endpoints on local ports. Waits are for conditions, with a deadline.

mod by_hand;
mod harness;
mod life;
mod order;
mod pace;
#[path = "../../../tests/it/receiver.rs"]
#[allow(dead_code, reason = "tests of the whole gateway ask more of it")]
mod receiver;
mod shown;
mod simulation;
mod unreadable;
