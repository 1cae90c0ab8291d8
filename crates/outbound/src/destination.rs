//! Where deliveries may go: public addresses, and the networks an operator has opened.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::lookup::lookup;

/// How long the resolution at a webhook's creation may take, before the name counts as not resolving.
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
    /// Its origin alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateUrl({}/…)", self.0.origin().ascii_serialization())
    }
}

/// Decides which URLs and addresses may be dialled. The default permits public addresses only.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Networks that are permitted although they are not public (`delivery.allowed_networks`).
    pub allowed: Vec<IpNet>,
    /// Refuse `http://` altogether (`delivery.https_only`).
    pub https_only: bool,
}

/// Why a URL or an address is refused, in words that say what to do about it.
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
    /// A secret value would cross a network in clear.
    #[error(
        "with a secret_value the URL must be https://: over http:// the secret could be read on the way to \
         {host} (an address opened with --allow-network or delivery.allowed_networks is exempt)"
    )]
    SecretInClear {
        /// The URL's host.
        host: String,
    },
    /// The address, or every address the name resolves to, is of a special-purpose range.
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
        /// The special-purpose range it is of.
        network: IpNet,
    },
}

/// IPv4 ranges that are no place for a webhook receiver (IANA's special-purpose registry, multicast, and
/// the one public address that clouds use for their own services).
const SPECIAL_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, cloud metadata service"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "multicast tunnelling"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// IPv6 ranges that are no place for a webhook receiver. Transition ranges (NAT64, 6to4, Teredo) are
/// refused whole: whatever IPv4 address they embed, it has a plainer spelling.
const SPECIAL_V6: &[(Ipv6Addr, u8, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (v6(0x64, 0xff9b, 0), 96, "NAT64"),
    (v6(0x64, 0xff9b, 1), 48, "NAT64"),
    (v6(0x100, 0, 0), 64, "discard-only"),
    (v6(0x2001, 0, 0), 32, "Teredo"),
    (v6(0x2001, 2, 0), 48, "benchmarking"),
    (v6(0x2001, 0, 0), 23, "protocol assignments"),
    (v6(0x2001, 0xdb8, 0), 32, "documentation"),
    (v6(0x2002, 0, 0), 16, "6to4"),
    (v6(0x2620, 0x4f, 0x8000), 48, "AS112"),
    (v6(0x3fff, 0, 0), 20, "documentation"),
    (v6(0x5f00, 0, 0), 16, "segment routing"),
    (v6(0xfc00, 0, 0), 7, "unique local"),
    (v6(0xfe80, 0, 0), 10, "link-local"),
    (v6(0xfec0, 0, 0), 10, "site-local"),
    (v6(0xff00, 0, 0), 8, "multicast"),
];

/// All that IANA hands out as global unicast; the rest of IPv6 is reserved, and refused as such.
const GLOBAL_UNICAST_V6: (Ipv6Addr, u8) = (v6(0x2000, 0, 0), 3);

fn within_v4(address: Ipv4Addr, base: Ipv4Addr, prefix: u8) -> bool {
    (u32::from(address) ^ u32::from(base)).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
}

fn within_v6(address: Ipv6Addr, base: Ipv6Addr, prefix: u8) -> bool {
    (u128::from(address) ^ u128::from(base)).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
}

fn network(base: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(base, prefix).unwrap_or(IpNet::from(base))
}

/// The special-purpose range an address belongs to, and its name; `None` for public addresses.
fn special(address: IpAddr) -> Option<(&'static str, IpNet)> {
    match address {
        IpAddr::V4(v4) => SPECIAL_V4
            .iter()
            .find(|(base, prefix, _)| within_v4(v4, *base, *prefix))
            .map(|(base, prefix, kind)| (*kind, network(IpAddr::V4(*base), *prefix))),
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(base, prefix, _)| within_v6(v6, *base, *prefix))
            .map(|(base, prefix, kind)| (*kind, network(IpAddr::V6(*base), *prefix)))
            .or_else(|| {
                let (base, prefix) = GLOBAL_UNICAST_V6;
                (!within_v6(v6, base, prefix)).then(|| ("reserved", IpNet::from(address)))
            }),
    }
}

/// Reads a destination as people write it.
///
/// # Errors
/// Says what is wrong with the text.
pub fn parse_url(text: &str) -> Result<Url, Refusal> {
    Url::parse(text).map_err(|error| match error {
        url::ParseError::EmptyHost => Refusal::NoHost,
        other => Refusal::Invalid(other.to_string()),
    })
}

/// Whether a name means the machine itself, whatever resolves it (RFC 6761, 6.3).
fn is_this_machine(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

impl Guard {
    /// Whether an operator has opened a network with this address. IPv4-mapped IPv6 counts as IPv4, in
    /// the list as well.
    pub fn is_allowed_network(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|net| match (net, address) {
            // `::ffff:10.0.0.0/104` means 10.0.0.0/8, but `::/0` does not mean all of IPv4.
            (IpNet::V6(v6), IpAddr::V4(v4)) => v6.prefix_len() >= 96 && v6.contains(&v4.to_ipv6_mapped()),
            _ => net.contains(&address),
        })
    }

    /// Whether `address`, which `host` stands for or resolved to, may be dialled.
    ///
    /// # Errors
    /// Names the range that the address belongs to.
    pub fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Refusal> {
        // A mapped address reaches the IPv4 one, so it is that one that is judged.
        match special(address.to_canonical()) {
            Some((kind, network)) if !self.is_allowed_network(address) => {
                let address = address.to_canonical();
                Err(Refusal::Address { host: host.to_owned(), address, kind, network })
            }
            _ => Ok(()),
        }
    }

    /// What can be said of a URL without resolving its name. `carries_secret`: a `secret_value` is sent along.
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
            // Resolvers do not agree on all spellings of it, so it is not left to them alone.
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            if !loopback.iter().any(|address| self.is_allowed_network(*address)) {
                self.check_address(host, loopback[0])?;
            }
        }
        Ok(())
    }

    /// The check at a webhook's creation: like [`Guard::check_url`], and the name is resolved now.
    ///
    /// A name that does not resolve is accepted, as the receiver may not be up yet; not so with a secret
    /// over plain HTTP, as nothing shows then that it would stay within an allowed network.
    ///
    /// # Errors
    /// The first rule the URL breaks; an address only if every one the name resolves to is refused.
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

    /// The addresses of `name` that may be dialled.
    ///
    /// # Errors
    /// If there are addresses, but none of them may be dialled.
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

/// The address a URL spells out, whatever spelling it uses (`127.1`, `0x7f000001`, `[::1]`).
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        // Of http and https URLs, `url` reads every spelling of an address as such.
        Host::Domain(_) => None,
    }
}

/// Whether a secret would be readable on the wire.
pub(super) fn in_clear(url: &Url, carries_secret: bool) -> bool {
    carries_secret && url.scheme() == "http"
}

#[cfg(test)]
mod tests;
