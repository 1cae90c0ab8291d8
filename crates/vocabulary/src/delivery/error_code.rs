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
        /// No stream of JetStream takes the subject, so nobody keeps the message.
        NoStream = "no_stream",
        /// The broker has refused the message: a full queue or stream, a fault of its own.
        Nack = "nack",
        /// The broker refuses the credentials, or does not allow them this topic.
        NotAuthorized = "not_authorized",
        /// The broker takes no message as large as this one; it is not tried again.
        TooLarge = "too_large",
        /// The gateway could not read what is to be sent: the delivery waits, no attempt is spent.
        Unreadable = "unreadable",
    }
}
