//! Why there was no answer. The HTTP client has one error for everything; its kind and a helpful message are
//! found in the chain of its causes.

use std::error::Error;
use std::io;

use url::Url;

use crate::outcome::AttemptVerdict;
use crate::resolve::ResolveError;
use crate::trust;
use vocabulary::delivery::ErrorCode;

/// The error and its causes.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    /// A custom I/O error hides the error that it holds, so it is unpacked.
    fn cause<'e>(error: &&'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
        let error: &'e (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>() {
            Some(io_error) => io_error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), cause)
}

fn find<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref::<E>())
}

/// Whether the connection broke after it had been made, before an answer came.
pub(super) fn is_broken_connection(error: &reqwest::Error) -> bool {
    if error.is_connect() || error.is_timeout() {
        return false;
    }
    let broken = |kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
        )
    };
    find::<hyper::Error>(error).is_some_and(|e| e.is_incomplete_message() || e.is_canceled() || e.is_closed())
        || find::<io::Error>(error).is_some_and(|e| broken(e.kind()))
}

/// The verdict on an attempt without an answer.
pub(super) fn verdict(url: &Url, error: &reqwest::Error) -> AttemptVerdict {
    match find::<ResolveError>(error) {
        Some(ResolveError::Forbidden(refusal)) => {
            return AttemptVerdict::Forbidden { message: refusal.to_string() };
        }
        Some(dns @ ResolveError::Dns(_)) => return unreachable(ErrorCode::Dns, dns.to_string()),
        None => {}
    }
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    if let Some(tls) = find::<rustls::Error>(error) {
        return unreachable(ErrorCode::Tls, trust::describe(host, tls));
    }
    if error.is_timeout() {
        return AttemptVerdict::TimedOut;
    }
    if error.is_connect() {
        // Errors before TLS begins come from the TCP connector.
        let before_tls = causes(error).any(|cause| cause.to_string() == "tcp connect error");
        return match before_tls || url.scheme() == "http" {
            true => {
                unreachable(ErrorCode::Connect, format!("cannot connect to {host}:{port}: {}", root(error)))
            }
            false => unreachable(
                ErrorCode::Tls,
                format!("{host}:{port} broke off the TLS handshake (does it speak TLS?): {}", root(error)),
            ),
        };
    }
    if is_broken_connection(error) {
        return unreachable(
            ErrorCode::Reset,
            format!("{host}:{port} closed the connection without an answer"),
        );
    }
    unreachable(ErrorCode::Reset, format!("what {host}:{port} answered cannot be read: {}", root(error)))
}

fn unreachable(code: ErrorCode, message: String) -> AttemptVerdict {
    AttemptVerdict::Unreachable { code, message }
}

/// The words of the innermost cause: the outer ones only say that something failed.
fn root(error: &reqwest::Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
