//! The HTTP client's resolver. It never yields an address that the guard refuses.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::destination::{Guard, Refusal};
use super::lookup::{LookupError, Lookups};

/// Why a name has no usable address. It is found in the chain of the HTTP client's error.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResolveError {
    /// The name has no address, or nobody could be asked.
    #[error(transparent)]
    Dns(#[from] LookupError),
    /// The name has addresses, but deliveries may go to none of them.
    #[error(transparent)]
    Forbidden(Refusal),
}

/// The HTTP client's resolver.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    /// Look-ups under way.
    pub(super) lookups: Lookups,
    /// Checks the addresses.
    pub(super) guard: Arc<Guard>,
    /// Yields only addresses of allowed networks, because the request has an unencrypted secret.
    pub(super) allowed_only: bool,
}

impl GuardedResolver {
    async fn dialable(self, name: String) -> Result<Addrs, ResolveError> {
        let found = self.lookups.lookup(&name).await?;
        let mut permitted = self.guard.permitted(&name, &found).map_err(ResolveError::Forbidden)?;
        if self.allowed_only {
            permitted.retain(|address| self.guard.is_allowed_network(*address));
            if permitted.is_empty() {
                return Err(ResolveError::Forbidden(Refusal::SecretInClear { host: name }));
            }
        }
        Ok(Box::new(permitted.into_iter().map(|address| SocketAddr::new(address, 0))))
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        let name = name.as_str().to_owned();
        Box::pin(async move { this.dialable(name).await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_a_refused_address_is_forbidden() {
        let resolver = GuardedResolver {
            lookups: Lookups::default(),
            guard: Arc::new(Guard::default()),
            allowed_only: false,
        };
        let error = resolver.dialable("localhost".to_owned()).await.err().expect("loopback");
        assert!(matches!(error, ResolveError::Forbidden(Refusal::Address { .. })), "{error}");
    }
}
