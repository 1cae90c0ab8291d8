//! The log: `tracing` events, written to stderr as text or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// The log was not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is no level and no list of directives.
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a log already.
    #[error("the log cannot be set up: {0}")]
    Taken(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends the process's log to stderr from here on, as `log` says. Colours only where a terminal shows them.
///
/// # Errors
/// If the level cannot be read, or the process has a log already.
pub fn start(log: &Log) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&log.level)?)
        .with_writer(std::io::stderr)
        // A log line that cannot be written (a full disk) is lost; the layer would tell so on stderr,
        // where that fails again and panics.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match log.format {
        LogFormat::Text => builder.try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).try_init()?,
    }
    Ok(())
}
