//! What came of one attempt: expected outcomes, as values.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::retry_after::RetryAfter;

/// Why an attempt, or a delivery, failed: the `error.code` of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No complete answer headers in time.
    Timeout,
    /// The name does not resolve.
    Dns,
    /// No connection could be made.
    Connect,
    /// No secure connection could be made.
    Tls,
    /// The connection broke, or what came back is not HTTP.
    Reset,
    /// An answer, but not a 2xx.
    HttpStatus,
    /// The guard refuses the destination.
    ForbiddenDestination,
    /// The delivery grew too old behind an open circuit breaker; nothing was sent.
    CircuitOpen,
    /// The gateway stopped while the attempt ran.
    OutcomeUnknown,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::Timeout,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Reset,
        Self::HttpStatus,
        Self::ForbiddenDestination,
        Self::CircuitOpen,
        Self::OutcomeUnknown,
    ];

    /// The code as the API and the store spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::HttpStatus => "http_status",
            Self::ForbiddenDestination => "forbidden_destination",
            Self::CircuitOpen => "circuit_open",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no error code of a delivery")]
pub struct UnknownErrorCode(String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| UnknownErrorCode(text.to_owned()))
    }
}

/// What the receiver, or the way to it, made of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// A 2xx whose headers were complete in time.
    Delivered {
        /// The status, 200 to 299.
        status: u16,
    },
    /// Any other status; redirects are not followed and end here too.
    Refused {
        /// The status.
        status: u16,
        /// What the answer's `Retry-After` asks for; read on 429 and 503 only.
        retry_after: Option<RetryAfter>,
    },
    /// No complete answer headers in time.
    TimedOut,
    /// No answer at all.
    Unreachable {
        /// `dns`, `connect`, `tls` or `reset`.
        code: ErrorCode,
        /// What happened, for people.
        message: String,
    },
    /// The guard refuses the destination; nothing was sent.
    Forbidden {
        /// Why, and what opens it.
        message: String,
    },
}

/// One attempt, as it went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What came of it.
    pub verdict: AttemptVerdict,
    /// From the start of the attempt to its verdict; the time for reading a body is not in it.
    pub duration: Duration,
    /// A few of the answer's headers, names in lower case, values as safe text.
    pub response_headers: Vec<(String, String)>,
    /// The first KiB of the answer's body as safe text; `None` without an answer.
    pub response_body: Option<String>,
    /// A second try was made within this attempt, as the receiver had closed an idle connection.
    pub reconnected: bool,
}

impl Outcome {
    /// Whether the receiver took it.
    pub fn is_success(&self) -> bool {
        matches!(self.verdict, AttemptVerdict::Delivered { .. })
    }

    /// The answer's status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self.verdict {
            AttemptVerdict::Delivered { status } | AttemptVerdict::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The error as the API shows it: a code for programs, words for people. `None` on success.
    pub fn error(&self) -> Option<(ErrorCode, String)> {
        match &self.verdict {
            AttemptVerdict::Delivered { .. } => None,
            AttemptVerdict::Refused { status, .. } => {
                Some((ErrorCode::HttpStatus, self.describe_status(*status)))
            }
            AttemptVerdict::TimedOut => Some((
                ErrorCode::Timeout,
                format!("no complete answer within {} ms", self.duration.as_millis()),
            )),
            AttemptVerdict::Unreachable { code, message } => Some((*code, message.clone())),
            AttemptVerdict::Forbidden { message } => Some((ErrorCode::ForbiddenDestination, message.clone())),
        }
    }

    fn describe_status(&self, status: u16) -> String {
        let reason = http::StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
        let mut text = format!("the endpoint answered {status}");
        if let Some(reason) = reason {
            text.push(' ');
            text.push_str(reason);
        }
        if let (300..400, Some((_, to))) =
            (status, self.response_headers.iter().find(|(name, _)| name == "location"))
        {
            text.push_str("; redirects are not followed (to ");
            text.push_str(to);
            text.push(')');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_as_they_are_written() {
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
            assert_eq!(serde_json::to_string(&code).expect("a code"), format!("\"{code}\""));
        }
        assert!("other".parse::<ErrorCode>().is_err());
    }
}
