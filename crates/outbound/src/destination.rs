//! Where deliveries may go: public addresses, and the networks an operator has opened.

mod special_ranges;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::lookup::lookup;
use special_ranges::{SpecialRange, special_range};

/// How long a name may take to resolve when a webhook is created; after that it counts as not resolving.
const CREATION_LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A URL that may have a password or a token in it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateUrl(pub Url);

impl FromStr for PrivateUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, url::ParseError> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for PrivateUrl {
    /// Shows only the origin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateUrl({}/…)", self.0.origin().ascii_serialization())
    }
}

/// Decides to which URLs and addresses the gateway may connect. The default permits public addresses only.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Networks that are permitted although they are not public (`delivery.allowed_networks`).
    pub allowed: Vec<IpNet>,
    /// Refuse `http://` altogether (`delivery.https_only`).
    pub https_only: bool,
}

/// Why a URL or an address is refused, with advice what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a URL at all; IPv6 zone identifiers (`fe80::1%eth0`) end here too.
    #[error("not a valid URL ({0}): write an absolute one such as https://example.com/hook")]
    Invalid(String),
    /// Neither `http` nor `https`.
    #[error("a URL starts with https:// or http://, not with {0}:")]
    Scheme(String),
    /// A user name or password in the URL.
    #[error(
        "a URL may not carry a user name or password: set secret_header to Authorization and secret_value instead"
    )]
    UserInfo,
    /// No host to send to.
    #[error("the URL names no host")]
    NoHost,
    /// Plain HTTP where the operator wants TLS.
    #[error("plain http:// is switched off here (delivery.https_only): use https://")]
    HttpsOnly,
    /// A secret value would be sent unencrypted.
    #[error(
        "with a secret_value the URL must be https://: over http:// the secret could be read on the way to \
         {host} (an address opened with --allow-network or delivery.allowed_networks is exempt)"
    )]
    SecretInClear {
        /// The URL's host.
        host: String,
    },
    /// An unencrypted broker where the operator wants TLS.
    #[error("plain {scheme}:// is switched off here (delivery.https_only): use {secure}://")]
    PlainBroker {
        /// The URL's scheme.
        scheme: &'static str,
        /// The scheme with TLS.
        secure: &'static str,
    },
    /// A password or a token would be sent to a broker unencrypted.
    #[error(
        "with a password or a token the URL must be {secure}://: without TLS it could be read on the way to \
         {host} (an address opened with --allow-network or delivery.allowed_networks is exempt)"
    )]
    CredentialsInClear {
        /// The URL's host.
        host: String,
        /// The scheme with TLS.
        secure: &'static str,
    },
    /// The address, or every address of the name, is in a special-purpose range.
    #[error(
        "{host} leads to {address} ({kind}), and deliveries go to public addresses only: to permit it, open \
         its network with --allow-network {network} (delivery.allowed_networks)"
    )]
    Address {
        /// The URL's host.
        host: String,
        /// The (first) address that was refused.
        address: IpAddr,
        /// What that address is for.
        kind: &'static str,
        /// The special-purpose range.
        network: IpNet,
    },
}

/// Reads a URL as people write it.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_url(text: &str) -> Result<Url, Refusal> {
    Url::parse(text).map_err(|error| match error {
        url::ParseError::EmptyHost => Refusal::NoHost,
        other => Refusal::Invalid(other.to_string()),
    })
}

/// Whether a name means this machine, whatever a resolver says (RFC 6761, 6.3).
fn is_this_machine(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

impl Guard {
    /// Whether the operator has allowed a network with this address. IPv4-mapped IPv6 counts as IPv4, also in
    /// the list.
    pub fn is_allowed_network(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|net| match (net, address) {
            // `::ffff:10.0.0.0/104` means 10.0.0.0/8, but `::/0` does not mean all of IPv4.
            (IpNet::V6(v6), IpAddr::V4(v4)) => v6.prefix_len() >= 96 && v6.contains(&v4.to_ipv6_mapped()),
            _ => net.contains(&address),
        })
    }

    /// Whether the gateway may connect to `address`, which `host` is or resolves to.
    ///
    /// # Errors
    /// Names the range that the address belongs to.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        // A mapped address reaches the IPv4 one, so that one is checked.
        match special_range(address.to_canonical()) {
            Some(SpecialRange { kind, network }) if !self.is_allowed_network(address) => {
                let address = address.to_canonical();
                Err(Refusal::Address { host: host.to_owned(), address, kind, network })
            }
            _ => Ok(()),
        }
    }

    /// Checks a URL without resolving its name. `carries_secret`: a `secret_value` is sent with it.
    ///
    /// # Errors
    /// The first rule the URL breaks.
    pub fn check_url(&self, url: &Url, carries_secret: bool) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Refusal::NoHost)?;
        if self.https_only && url.scheme() == "http" {
            return Err(Refusal::HttpsOnly);
        }
        if let Some(address) = literal(url) {
            self.check_address(host, address)?;
            if in_clear(url, carries_secret) && !self.is_allowed_network(address) {
                return Err(Refusal::SecretInClear { host: host.to_owned() });
            }
        } else if is_this_machine(host) {
            // Resolvers do not agree on all spellings of it, so they are not relied on.
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            if !loopback.iter().any(|address| self.is_allowed_network(*address)) {
                self.check_address(host, loopback[0])?;
            }
        }
        Ok(())
    }

    /// The check when a webhook is created: like [`Guard::check_url`], but the name is resolved too.
    ///
    /// A name that does not resolve is accepted, because the receiver may not be up yet. With a secret over
    /// plain HTTP it is refused, because nothing shows that the secret would stay within an allowed network.
    ///
    /// # Errors
    /// The first rule that the URL breaks. An address is an error only if every address of the name is
    /// refused.
    pub async fn check_creation(&self, url: &Url, carries_secret: bool) -> Result<(), Refusal> {
        self.check_url(url, carries_secret)?;
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let looked_up = tokio::time::timeout(CREATION_LOOKUP_TIMEOUT, lookup(name)).await;
        let addresses = looked_up.ok().and_then(Result::ok).unwrap_or_default();
        if in_clear(url, carries_secret) && !addresses.iter().any(|ip| self.is_allowed_network(*ip)) {
            return Err(Refusal::SecretInClear { host: name.to_owned() });
        }
        self.permitted(name, &addresses).map(drop)
    }

    /// The addresses of `name` that the gateway may connect to.
    ///
    /// # Errors
    /// If there are addresses, but none that is permitted.
    pub fn permitted(&self, name: &str, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, Refusal> {
        let mut refused = None;
        let mut permitted = Vec::with_capacity(addresses.len());
        for &address in addresses {
            match self.check_address(name, address) {
                Ok(()) => permitted.push(address),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if permitted.is_empty() => Err(refusal),
            _ => Ok(permitted),
        }
    }
}

/// The address that a URL spells out, in any spelling (`127.1`, `0x7f000001`, `[::1]`).
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        // In http and https URLs, `url` recognises every spelling of an address.
        Host::Domain(_) => None,
    }
}

/// Whether a secret would be sent unencrypted.
pub(super) fn in_clear(url: &Url, carries_secret: bool) -> bool {
    carries_secret && url.scheme() == "http"
}

#[cfg(test)]
mod tests;
