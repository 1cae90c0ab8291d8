//! The state machine alone, in virtual time.
