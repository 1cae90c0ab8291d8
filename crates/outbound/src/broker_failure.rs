//! Why a message was not published.

use std::time::Duration;

use crate::broker_url::BrokerUrl;
use crate::outcome::{AttemptVerdict, Outcome};
use crate::secret_mask::SecretMask;
use vocabulary::delivery::ErrorCode;

/// How much of what a broker says is kept.
const KEPT_CHARS: usize = 1024;

/// Why a message was not published, or no connection was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// For programs.
    pub(crate) code: ErrorCode,
    /// What happened, in words.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Nothing came back while signing in.
    pub(crate) fn silent(to: &BrokerUrl) -> Self {
        let message = format!("{}:{} accepts connections, but does not answer", to.host, to.port);
        Self::new(ErrorCode::Timeout, message)
    }

    fn verdict(self) -> AttemptVerdict {
        let Self { code, message } = self;
        match code {
            ErrorCode::ForbiddenDestination => AttemptVerdict::Forbidden { message },
            ErrorCode::Dns | ErrorCode::Connect | ErrorCode::Tls | ErrorCode::Reset | ErrorCode::Timeout => {
                AttemptVerdict::Unreachable { code, message }
            }
            _ => AttemptVerdict::NotConfirmed { code, message },
        }
    }
}

/// The outcome of an attempt; `None`: it took too long. What the broker has confirmed is kept as an answer's
/// body is.
pub(crate) fn outcome(
    published: Option<Result<String, Failure>>,
    duration: Duration,
    secrets: &SecretMask,
) -> Outcome {
    let (verdict, response_body) = match published {
        None => (AttemptVerdict::TimedOut, None),
        Some(Ok(confirmed)) => (AttemptVerdict::Confirmed, Some(kept(&confirmed, secrets))),
        Some(Err(Failure { code, message })) => {
            (Failure { code, message: kept(&message, secrets) }.verdict(), None)
        }
    };
    Outcome { verdict, duration, response_headers: Vec::new(), response_body, reconnected: false }
}

/// The beginning of what a stranger may have written, fit to be stored and shown.
fn kept(text: &str, secrets: &SecretMask) -> String {
    let masked = secrets.masked(text.as_bytes());
    let safe = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(&masked).chars().take(KEPT_CHARS).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::broker::BrokerCredentials;

    #[test]
    fn what_a_broker_says_is_cut_and_shows_no_secret() {
        let credentials = BrokerCredentials { token: Some("sesame-1234".to_owned()), ..Default::default() };
        let secrets = SecretMask::of_credentials(Some(&credentials));
        let long = format!("a\u{7}b sesame-1234 {}", "x".repeat(5_000));
        for published in [Ok(long.clone()), Err(Failure::new(ErrorCode::Nack, long.clone()))] {
            let outcome = outcome(Some(published), Duration::ZERO, &secrets);
            let told = outcome.error().map(|error| error.message).or(outcome.response_body);
            let told = told.expect("something is told");
            assert!(told.starts_with("a\u{fffd}b *** xxx") && told.chars().count() == KEPT_CHARS, "{told}");
        }
    }

    #[test]
    fn only_what_is_too_large_is_hopeless() {
        let of = |code| {
            outcome(Some(Err(Failure::new(code, "x"))), Duration::ZERO, &SecretMask::of_credentials(None))
        };
        for &code in ErrorCode::ALL {
            assert_eq!(of(code).is_hopeless(), code == ErrorCode::TooLarge, "{code}");
        }
        let silent = outcome(None, Duration::ZERO, &SecretMask::of_credentials(None));
        assert_eq!(silent.error().map(|error| error.code), Some(ErrorCode::Timeout));
    }
}
