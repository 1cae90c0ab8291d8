//! chargehook: an OCPP 1.6-J central system that keeps every message of its chargers and sends each as an
//! event to webhooks.
//!
//! [`gateway::Gateway`] is the whole of it in one value; the programs `chargehook` and `charger-sim` are thin
//! around [`cli`] and [`charger_sim`].
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
//! | floors below, each a crate | [`vocabulary`], then [`store`] [`outbound`] [`tls`] [`charger_sim`] |
//! | engines (apart) | [`station`], [`delivery`], [`retention`], [`indexing`], [`power_history`] |
//! | keys | [`keys`] |
//! | edge (apart) | [`http`], [`client`] |
//! | dashboard | [`ui`] |
//! | assembly | [`telemetry`], [`config`], [`gateway`], then [`serve`] [`demo`] [`listen`], then [`cli`] |

// A program that embeds a gateway gives it one of these.
pub use vocabulary::clock;

// The engines, which meet only in the store.
pub mod delivery;
pub mod indexing;
pub mod power_history;
pub mod retention;
pub mod station;

// API keys: made on the command line, checked by the API.
pub mod keys;

// The edge; these do not know each other.
pub mod client;
pub mod http;

// Pages for people, over both.
pub mod ui;

// Assembly.
pub mod telemetry;

pub mod config;

pub mod gateway;

pub mod demo;
pub mod listen;
pub mod serve;

pub mod cli;
