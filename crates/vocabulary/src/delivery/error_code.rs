//! Why an attempt, or a delivery, failed.

use crate::words::words;

words! {
    /// Why an attempt, or a delivery, failed: the `error.code` of the API.
    pub enum ErrorCode {
        /// No complete answer headers in time.
        Timeout = "timeout",
        /// The name does not resolve.
        Dns = "dns",
        /// No connection could be made.
        Connect = "connect",
        /// No secure connection could be made.
        Tls = "tls",
        /// The connection broke, or what came back is not HTTP.
        Reset = "reset",
        /// An answer, but not a 2xx.
        HttpStatus = "http_status",
        /// The guard refuses the destination.
        ForbiddenDestination = "forbidden_destination",
        /// The delivery grew too old behind an open circuit breaker; nothing was sent.
        CircuitOpen = "circuit_open",
        /// The gateway stopped while the attempt ran.
        OutcomeUnknown = "outcome_unknown",
        /// The gateway could not read what is to be sent: the delivery waits, no attempt is spent.
        Unreadable = "unreadable",
    }
}
