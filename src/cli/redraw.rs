//! `--watch`: the same text again and again, in place of the one before.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::view::Look;
use super::{Failure, print};
use crate::client::ClientError;
use vocabulary::clock::Clock;

/// Pause between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Moves to the first place of the screen and clears it.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Shows what `draw` returns every two seconds, until SIGINT, SIGTERM or SIGHUP. If the gateway is away for a
/// while, it says so and goes on.
///
/// # Errors
/// Those of `draw`, but for a gateway that was there before and does not answer.
pub(super) async fn redraw(draw: impl AsyncFn() -> Result<String, Failure>) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut last = None;
    loop {
        let look = async {
            let note = match draw().await {
                Ok(text) => {
                    last = Some(text);
                    String::new()
                }
                Err(Failure::Client(error @ (ClientError::Unreachable(_) | ClientError::Silent)))
                    if last.is_some() =>
                {
                    format!("; {error}")
                }
                Err(failure) => return Err(failure),
            };
            print(&screen(last.as_deref().unwrap_or_default(), &note))?;
            tokio::time::sleep(EVERY).await;
            Ok(())
        };
        tokio::select! {
            looked = look => looked?,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// A text with the time above it, as far as it has room.
fn screen(text: &str, note: &str) -> String {
    let time: String = Clock::System.now().to_string().chars().skip(11).take(8).collect();
    let heading = format!("{time} UTC{note}\n");
    if !std::io::stdout().is_terminal() {
        return format!("{heading}{text}\n");
    }
    // A longer text would scroll, and its first line, which names the columns, would be gone.
    let room = Look::current().height.map_or(usize::MAX, |height| height.saturating_sub(2));
    let lines: Vec<&str> = text.lines().collect();
    let shown = if lines.len() > room { &lines[..room.saturating_sub(1)] } else { &lines[..] };
    let more = match lines.len() - shown.len() {
        0 => String::new(),
        more => format!("… and {more} more\n"),
    };
    let shown: String = shown.iter().map(|line| format!("{line}\n")).collect();
    format!("{CLEAR}{heading}{shown}{more}")
}
