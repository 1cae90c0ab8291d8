//! The course of a charging session: what its page draws and tells. Pure functions from answers of the API.

pub(super) mod energy;
pub(super) mod history;
pub(super) mod readings;
#[cfg(test)]
pub(super) mod sample;
