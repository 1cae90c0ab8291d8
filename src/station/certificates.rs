//! TLS and the certificates of the engine.

use std::sync::Arc;

use tls::{Authorities, Authority, Tls};

/// TLS for stations' connections, and the authorities of their certificates, read from the files that
/// `[ocpp]` names.
#[derive(Clone, Default)]
pub struct Certificates {
    /// TLS of the listener that has it; `None`: nothing is encrypted.
    pub tls: Option<Arc<Tls>>,
    /// The authorities of certificates that proxies hand on; `None`: the proxies have checked them.
    pub handed_on: Option<Arc<Authorities>>,
    /// Signs the certificates that stations ask for; `None`: they get none.
    pub authority: Option<Arc<Authority>>,
}
