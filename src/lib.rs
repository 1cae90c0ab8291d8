//! chargehook: an OCPP 1.6-J central system that keeps every message of its chargers and sends each as an
//! event to webhooks.
//!
//! [`gateway::Gateway`] is the whole of it in one value; the programs `chargehook` and `charger-sim` are thin
//! around [`cli`] and [`simulator`].
//!
//! ```no_run
//! use chargehook::clock::Clock;
//! use chargehook::config::Config;
//! use chargehook::gateway::{Gateway, StartError};
//!
//! # async fn example() -> Result<(), StartError> {
//! let gateway = Gateway::start(Config::default(), Clock::System).await?;
//! assert!(gateway.ocpp_addr().ip().is_loopback());
//! gateway.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//!
//! From the bottom up; a module knows only what stands below it, or beside it where a row is not *apart*. A
//! test holds the `use` lines to this, and `ARCHITECTURE.md` follows a message through it.
//!
//! | row | modules |
//! |---|---|
//! | vocabulary | [`adjustable`] [`api`] [`bucket`] [`clock`] `der` [`event`] [`forwarded`] [`id`] [`log_limit`] [`nearest`] [`ocpp`] [`subscription`] [`units`] [`zone`] |
//! | storage, way out, encryption (apart) | [`store`], [`outbound`], [`tls`] |
//! | engines (apart) | [`station`], [`delivery`], [`retention`], [`indexing`] |
//! | keys | [`keys`] |
//! | edge (apart) | [`http`], [`client`], [`simulator`] |
//! | assembly | [`config`] [`telemetry`], then [`gateway`], then [`serve`] [`demo`] [`listen`], then [`cli`] |

// Vocabulary: what everybody talks about. No I/O.
pub mod adjustable;
pub mod api;
pub mod bucket;
pub mod clock;
mod der;
pub mod event;
pub mod forwarded;
pub mod id;
pub mod log_limit;
pub mod nearest;
pub mod ocpp;
pub mod subscription;
pub mod units;
pub mod zone;

// What must survive, the only way out, and what connections are encrypted with; they do not know each other.
pub mod outbound;
pub mod store;
pub mod tls;

// The engines, which meet only in the store.
pub mod delivery;
pub mod indexing;
pub mod retention;
pub mod station;

// API keys: made on the command line, checked by the API.
pub mod keys;

// The edge; these do not know each other.
pub mod client;
pub mod http;
pub mod simulator;

// Assembly.
pub mod config;
pub mod telemetry;

pub mod gateway;

pub mod demo;
pub mod listen;
pub mod serve;

pub mod cli;
