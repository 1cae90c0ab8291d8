//! What TLS and certificates the engine works with.

use std::sync::Arc;

use tls::{Authorities, Authority, Tls};

/// What stations' connections are encrypted with, and what stations are known by: read from the files that
/// `[ocpp]` names.
#[derive(Clone, Default)]
pub struct Certificates {
    /// What stations are greeted with, where anything is encrypted.
    pub tls: Option<Arc<Tls>>,
    /// What certificates must lead to that proxies hand on; `None`: the proxies have seen to that themselves.
    pub handed_on: Option<Arc<Authorities>>,
    /// Who signs the certificates that stations ask for, if anybody.
    pub authority: Option<Arc<Authority>>,
}
