//! chargehook: an OCPP central-system gateway with built-in webhook fan-out.
pub mod cli;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod event;
pub mod gateway;
pub mod id;
pub mod nearest;
pub mod ocpp;
pub mod outbound;
pub mod simulator;
pub mod station;
pub mod store;
pub mod subscription;
pub mod telemetry;
pub mod units;
