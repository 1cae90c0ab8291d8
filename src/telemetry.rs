//! The log: `tracing` events, written to stderr as text or as JSON.
//!
//! At `debug` and `trace` the libraries under this crate write down headers, frames and URLs as they are,
//! with the passwords and keys in them. So whatever `log.level` says, nothing of theirs below `info` is
//! written.

mod log_level;
mod settings;

use std::io::IsTerminal;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, reload};

pub use log_level::{InvalidLogLevel, LogLevel};
pub use settings::{Log, LogFormat};

/// The log was not set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The process has a log already.
    #[error("the log cannot be set up: {0}")]
    Taken(#[from] TryInitError),
}

/// What is logged by the process can be changed through it.
#[derive(Clone)]
pub struct LogFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Logs this from here on.
    pub fn set(&self, level: &LogLevel) {
        // Fails only once the log is gone, with nobody left to tell.
        let _ = self.0.reload(EnvFilter::new(level.as_str()));
    }
}

/// Sends the process's log to stderr from here on, as `log` says. Colours only where a terminal shows them.
///
/// # Errors
/// If the process has a log already.
pub fn start(log: &Log) -> Result<LogFilter, TelemetryError> {
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (subscriber, filter) = subscriber(log, colours, std::io::stderr);
    subscriber.try_init()?;
    Ok(filter)
}

fn subscriber<W>(log: &Log, colours: bool, writer: W) -> (impl Subscriber + Send + Sync, LogFilter)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // A log line that cannot be written (a full disk) is lost; the layer would tell so on stderr,
        // where that fails again and panics.
        .log_internal_errors(false)
        .with_ansi(colours);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (wanted, handle) = reload::Layer::new(EnvFilter::new(log.level.as_str()));
    let subscriber = tracing_subscriber::registry().with(wanted).with(filter_fn(is_told)).with(lines);
    (subscriber, LogFilter(handle))
}

/// Whether something may be written at all: all that is ours, and what is no detail of others'.
fn is_told(event: &Metadata<'_>) -> bool {
    let target = event.target();
    let ours = target.strip_prefix(env!("CARGO_PKG_NAME"));
    // The floors log as `chargehook_store`.
    let is_ours = |rest: &str| rest.is_empty() || rest.starts_with("::") || rest.starts_with('_');
    ours.is_some_and(is_ours) || *event.level() <= Level::INFO
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, trace};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("sound").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn details_of_libraries_are_written_at_no_level() {
        for level in ["trace", "trace,hyper=trace,chargehook=trace", "info,reqwest=debug,chargehook=trace"] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let page = Page::default();
                let writer = page.clone();
                let log = Log { format, level: level.parse().expect("a level") };
                let (subscriber, _) = subscriber(&log, false, move || writer.clone());
                tracing::subscriber::with_default(subscriber, || {
                    trace!(target: "hyper::proto::h1", "Authorization: secret");
                    trace!(target: "chargehooked", "Authorization: secret");
                    tracing::debug!(target: "reqwest::connect", "https://user:secret@host");
                    info!(target: "rustls", "worth knowing");
                    trace!(target: "chargehook::station", "our own detail");
                    trace!(target: "chargehook_store::engine", "a detail of a floor");
                });
                let written = String::from_utf8(page.0.lock().expect("sound").clone()).expect("text");
                assert!(!written.contains("secret"), "{level}: {written}");
                assert!(written.contains("worth knowing"), "{level}: {written}");
                assert!(written.contains("our own detail"), "{level}: {written}");
                assert!(written.contains("a detail of a floor"), "{level}: {written}");
            }
        }
    }

    #[test]
    fn what_is_logged_can_be_changed_and_details_of_libraries_stay_out() {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, filter) = subscriber(&Log::default(), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("before");
            filter.set(&"trace".parse().expect("a level"));
            tracing::debug!("meanwhile");
            trace!(target: "hyper::proto::h1", "Authorization: secret");
            filter.set(&"error".parse().expect("a level"));
            info!("afterwards");
        });
        let written = String::from_utf8(page.0.lock().expect("sound").clone()).expect("text");
        assert!(written.contains("meanwhile") && written.lines().count() == 1, "{written}");
    }
}
