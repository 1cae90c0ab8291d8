//! The colours of states. They come with the word and never instead of it.

/// Ends a colour.
const RESET: &str = "\u{1b}[0m";

/// What a state means to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Busy,
    Doubtful,
    Bad,
}

impl Tone {
    /// The sequence that begins its colour: one of the terminal's own palette.
    fn colour(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[32m",
            Self::Busy => "\u{1b}[36m",
            Self::Doubtful => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
        }
    }

    /// The tone of a word of the API or of OCPP; `None` for what is no state that it knows.
    fn of(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "yes" | "ok" | "online" | "active" | "accepted" | "available" | "success" | "completed"
            | "done" | "enabled" | "noerror" | "metered" | "started" | "used" | "up" => Self::Good,
            "charging" | "preparing" | "finishing" | "occupied" | "reserved" | "processing" | "running"
            | "sent" | "queued" | "scheduled" | "info" => Self::Busy,
            "no" | "never" | "retry" | "paused" | "pending" | "suspendedev" | "suspendedevse"
            | "unavailable" | "expired" | "canceled" | "discarded" | "disabled" | "estimated" | "missing"
            | "unknown" | "concurrenttx" | "draining" | "not_started" | "warn" | "skipped" => Self::Doubtful,
            "blocked" | "rejected" | "failed" | "failing" | "error" | "faulted" | "invalid" | "timeout"
            | "connection_lost" | "auto_disabled" | "implausible" | "offline" | "silent" | "lost"
            | "down" | "bad" => Self::Bad,
            _ => return None,
        })
    }
}

/// The word in the colour of the state that it is.
pub(super) fn coloured(word: &str) -> String {
    match Tone::of(word) {
        Some(tone) => format!("{}{word}{RESET}", tone.colour()),
        None => word.to_owned(),
    }
}
