//! The outcome of one attempt. Expected outcomes are values, not errors.

use std::time::Duration;

use super::retry_after::RetryAfter;
use vocabulary::api::delivery::DeliveryError;
use vocabulary::delivery::ErrorCode;

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// A 2xx whose headers were complete in time.
    Delivered {
        /// The status, 200 to 299.
        status: u16,
    },
    /// A broker has confirmed that it keeps the message.
    Confirmed,
    /// A broker answered, and does not keep the message.
    NotConfirmed {
        /// `no_stream`, `nack`, `not_authorized` or `too_large`.
        code: ErrorCode,
        /// What it said, in words.
        message: String,
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
        /// What happened, in words.
        message: String,
    },
    /// The guard refuses the destination; nothing was sent.
    Forbidden {
        /// Why, and how to allow it.
        message: String,
    },
}

/// An attempt that was made.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its result.
    pub verdict: AttemptVerdict,
    /// From the start of the attempt to its verdict, without the time for reading a body.
    pub duration: Duration,
    /// A few of the answer's headers, names in lower case, values as safe text.
    pub response_headers: Vec<(String, String)>,
    /// The first KiB of the answer's body as safe text; `None` without an answer.
    pub response_body: Option<String>,
    /// A second try was made within this attempt, because the receiver had closed an idle connection.
    pub reconnected: bool,
}

impl Outcome {
    /// Whether the receiver has accepted it.
    pub fn is_success(&self) -> bool {
        matches!(self.verdict, AttemptVerdict::Delivered { .. } | AttemptVerdict::Confirmed)
    }

    /// Whether the next attempt could not fare better: the message itself is at fault, not who takes it.
    pub fn is_hopeless(&self) -> bool {
        matches!(self.verdict, AttemptVerdict::NotConfirmed { code: ErrorCode::TooLarge, .. })
    }

    /// The answer's status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self.verdict {
            AttemptVerdict::Delivered { status } | AttemptVerdict::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The error as the API shows it: a code for programs, words for people. `None` on success.
    pub fn error(&self) -> Option<DeliveryError> {
        let (code, message) = match &self.verdict {
            AttemptVerdict::Delivered { .. } | AttemptVerdict::Confirmed => return None,
            AttemptVerdict::Refused { status, .. } => (ErrorCode::HttpStatus, self.describe_status(*status)),
            AttemptVerdict::TimedOut => {
                let message = format!("no complete answer within {} ms", self.duration.as_millis());
                (ErrorCode::Timeout, message)
            }
            AttemptVerdict::Unreachable { code, message }
            | AttemptVerdict::NotConfirmed { code, message } => (*code, message.clone()),
            AttemptVerdict::Forbidden { message } => (ErrorCode::ForbiddenDestination, message.clone()),
        };
        Some(DeliveryError { code, message })
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
