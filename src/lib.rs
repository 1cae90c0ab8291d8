//! chargehook: an OCPP central-system gateway with built-in webhook fan-out.
pub mod clock;
pub mod event;
pub mod id;
pub mod ocpp;
pub mod outbound;
pub mod subscription;
pub mod units;
