//! Who really calls, where a proxy stands in between: what trusted proxies tell of their clients.
//!
//! **Invariant**: a header of anybody else changes nothing, so that nobody can lend themselves an address, an
//! encryption or a certificate.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use crate::setting::Broken;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate with so many above it is no chain that anybody uses.
const CHAIN_MAX: usize = 8;

/// The proxies whose word counts (`trusted_proxies`).
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    /// Where they stand.
    pub networks: Vec<IpNet>,
    /// The header in which they hand on a client's certificate, if they do.
    pub certificate_header: Option<HeaderName>,
}

/// Notes proxies that are everybody, under the key that they are named by in every table.
pub fn check_trusted(networks: &[IpNet], broken: &mut Broken) {
    broken.unless(
        networks.iter().all(|network| network.prefix_len() > 0),
        "trusted_proxies",
        "must not be every address there is: whoever is trusted can claim any address, and any station",
    );
}

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address itself.
    pub ip: IpAddr,
    /// Its port; proxies seldom tell it.
    pub port: Option<u16>,
}

/// What a trusted proxy tells of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address, as far as it can be told.
    pub address: Address,
    /// Whether the client's own connection was encrypted. Not if nothing was said of that.
    pub encrypted: bool,
}

/// A certificate that was handed on, and cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate in the proxy's header cannot be read")]
pub struct UnreadableCertificate;

/// The address as people write it: a socket that listens on IPv6 for both sees IPv4 as `::ffff:192.0.2.1`.
pub fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let address = plain(address);
        Self { ip: address.ip(), port: Some(address.port()) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::from((self.ip, port)).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// What a request's headers tell of its client; `None` if they come from somebody whose word does not
    /// count, or tell nothing: then the peer is the client.
    pub fn forwarded(&self, peer: SocketAddr, headers: &HeaderMap) -> Option<Forwarded> {
        let own = self.certificate_header.as_ref().is_some_and(|name| headers.contains_key(name));
        let tells = headers.contains_key(FOR) || headers.contains_key(PROTO) || own;
        if !tells || !self.trusts(peer.ip()) {
            return None;
        }
        let schemes: Vec<&str> = items(headers, &PROTO).collect();
        // Of several hops each must have been encrypted: which of them is the client's own, nobody can say.
        let secure =
            |scheme: &&str| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss");
        let encrypted = !schemes.is_empty() && schemes.iter().all(secure);
        Some(Forwarded { address: self.client(peer, headers), encrypted })
    }

    /// The rightmost address that is no trusted proxy: what stands further left, the client may have made up.
    fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Address {
        let told: Vec<&str> = items(headers, &FOR).collect();
        let mut client = Address::from(peer);
        for text in told.into_iter().rev() {
            // What cannot be read hides who came before; the proxy that said so is as far as one can see.
            let Some(address) = read_address(text) else { break };
            client = address;
            if !self.trusts(address.ip) {
                break;
            }
        }
        client
    }

    /// The certificate that a client has shown to the proxy, with what was handed on of the chain above it,
    /// as DER; `None` if it has shown none. Only for what was [`forwarded`](Self::forwarded).
    ///
    /// Read as nginx writes it (PEM, percent-encoded), as base64 of the DER, and as RFC 9440 has it
    /// (`:base64:`).
    ///
    /// # Errors
    /// If it cannot be read, or there are several.
    pub fn certificate(&self, headers: &HeaderMap) -> Result<Option<Vec<Vec<u8>>>, UnreadableCertificate> {
        let Some(name) = &self.certificate_header else { return Ok(None) };
        let mut given = headers.get_all(name).iter().filter(|value| {
            // What proxies write where there is none.
            !matches!(value.as_bytes().trim_ascii(), b"" | b"-" | b"(null)")
        });
        let Some(value) = given.next() else { return Ok(None) };
        if given.next().is_some() {
            return Err(UnreadableCertificate);
        }
        let text = value.to_str().ok().and_then(|text| percent_decode_str(text).decode_utf8().ok());
        let chain = text.as_deref().and_then(read_chain);
        chain.filter(|chain| (1..=CHAIN_MAX).contains(&chain.len())).map(Some).ok_or(UnreadableCertificate)
    }
}

/// The items of a list that may stand in several lines; a line that is no text is one that means nothing.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// An address with or without port, of IPv6 with or without brackets.
fn read_address(text: &str) -> Option<Address> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Address { ip: address.ip().to_canonical(), port: Some(address.port()) });
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip: IpAddr = match inner {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => text.parse().ok()?,
    };
    Some(Address { ip: ip.to_canonical(), port: None })
}

fn read_chain(text: &str) -> Option<Vec<Vec<u8>>> {
    match text.trim().strip_prefix(BEGIN) {
        Some(rest) => rest
            .split(BEGIN)
            .map(|block| {
                let (content, after) = block.split_once(END)?;
                // Traefik puts commas between certificates.
                after.trim_matches([',', ' ', '\t', '\r', '\n']).is_empty().then(|| decode(content))?
            })
            .collect(),
        None => text.split(',').map(decode).collect(),
    }
}

/// Base64 in which proxies may have put blanks where PEM has line ends, and RFC 9440 colons around it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let inner = text.strip_prefix(':').map_or(Some(text), |rest| rest.strip_suffix(':'))?;
    let compact: String = inner.split_ascii_whitespace().collect();
    STANDARD.decode(compact).ok().filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies() -> TrustedProxies {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().expect("a network"));
        TrustedProxies {
            networks: networks.to_vec(),
            certificate_header: Some(HeaderName::from_static("x-client-cert")),
        }
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("legal");
            map.append(HeaderName::from_static(name), value);
        }
        map
    }

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expected: Option<&str>) {
        let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let found = proxies().forwarded(peer.parse().expect("a peer"), &headers(&lines));
        assert_eq!(
            found.map(|found| found.address.to_string()).as_deref(),
            expected,
            "{lines:?} from {peer}"
        );
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_trusted_proxy() {
        check("10.0.0.1:5", &["203.0.113.7"], Some("203.0.113.7"));
        check("10.0.0.1:5", &["1.1.1.1, 203.0.113.7"], Some("203.0.113.7"));
        check("10.0.0.1:5", &["203.0.113.7, 10.0.0.2"], Some("203.0.113.7"));
        check("10.0.0.1:5", &["1.1.1.1", "203.0.113.7 ,10.0.0.3", "10.0.0.2"], Some("203.0.113.7"));
        check("10.0.0.1:5", &["10.0.0.9, 10.0.0.2"], Some("10.0.0.9"));
        check("[::ffff:10.0.0.1]:5", &["203.0.113.7"], Some("203.0.113.7"));
        check("[2001:db8:1::5]:5", &["2001:db8:2::7"], Some("2001:db8:2::7"));
    }

    #[test]
    fn addresses_come_with_ports_and_brackets() {
        check("10.0.0.1:5", &["203.0.113.7:4711"], Some("203.0.113.7:4711"));
        check("10.0.0.1:5", &["[2001:db8:2::7]"], Some("2001:db8:2::7"));
        check("10.0.0.1:5", &["[2001:db8:2::7]:4711"], Some("[2001:db8:2::7]:4711"));
        check("10.0.0.1:5", &["203.0.113.7, ::ffff:10.0.0.2"], Some("203.0.113.7"));
    }

    #[test]
    fn what_cannot_be_read_hides_what_stands_before_it() {
        for garbage in ["unknown", "", " ", "_hidden", "203.0.113.7:x", "[203.0.113.7]", "[::1", "1.2.3"] {
            check("10.0.0.1:5", &[garbage], Some("10.0.0.1:5"));
            check("10.0.0.1:5", &["1.1.1.1", garbage], Some("10.0.0.1:5"));
            check("10.0.0.1:5", &[&format!("1.1.1.1, {garbage} , 10.0.0.2")], Some("10.0.0.2"));
            check("10.0.0.1:5", &[garbage, "203.0.113.7"], Some("203.0.113.7"));
        }
    }

    #[test]
    fn a_line_that_is_no_text_hides_all_of_it() {
        check("10.0.0.1:5", &["1.1.1.1, \u{e9}, 10.0.0.2"], Some("10.0.0.1:5"));
        check("10.0.0.1:5", &["1.1.1.1", "\u{e9}", "10.0.0.2"], Some("10.0.0.2"));
    }

    #[test]
    fn the_word_of_others_does_not_count() {
        check("203.0.113.9:5", &["198.51.100.1"], None);
        check("203.0.113.9:5", &["10.0.0.1"], None);
        check("11.0.0.1:5", &["198.51.100.1"], None);
        check("10.0.0.1:5", &[], None);
        let nobody = TrustedProxies::default();
        let told = headers(&[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")]);
        assert_eq!(nobody.forwarded("10.0.0.1:5".parse().expect("a peer"), &told), None);
    }

    #[test]
    fn only_a_way_that_was_encrypted_all_along_counts_as_such() {
        let encrypted = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("x-forwarded-proto", *line)).collect();
            let mut told = headers(&lines);
            told.append(FOR, "203.0.113.7".parse().expect("legal"));
            proxies().forwarded("10.0.0.1:5".parse().expect("a peer"), &told).expect("told").encrypted
        };
        for yes in [&["https"][..], &["wss"], &["HTTPS"], &["https, wss"], &["https", "https"]] {
            assert!(encrypted(yes), "{yes:?}");
        }
        for no in [&[][..], &["http"], &["ws"], &[""], &["https, http"], &["http", "https"], &["https;"]] {
            assert!(!encrypted(no), "{no:?}");
        }
    }

    fn certificate(lines: &[&str]) -> Result<Option<Vec<Vec<u8>>>, UnreadableCertificate> {
        let lines: Vec<_> = lines.iter().map(|line| ("x-client-cert", *line)).collect();
        proxies().certificate(&headers(&lines))
    }

    #[test]
    fn a_certificate_is_read_as_proxies_write_it() {
        let (der, above) = (vec![0x30, 0x03, 0x02, 0xfb, 0xff], vec![0x30, 0x00]);
        let (base64, above64) = (STANDARD.encode(&der), STANDARD.encode(&above));
        let one = Ok(Some(vec![der.clone()]));
        let escaped = base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        assert_ne!(escaped, base64, "it has what must be escaped");
        let nginx = format!("-----BEGIN%20CERTIFICATE-----%0A{escaped}%0A-----END%20CERTIFICATE-----%0A");
        let blanks = format!("-----BEGIN CERTIFICATE----- {base64} -----END CERTIFICATE----- ");
        for text in [&base64, &escaped, &format!(":{base64}:"), &nginx, &blanks] {
            assert_eq!(certificate(&[text]), one, "{text}");
        }
        let both = Ok(Some(vec![der, above]));
        assert_eq!(certificate(&[&format!("{base64},{above64}")]), both);
        let blanks = format!("{BEGIN} {base64} {END},{BEGIN} {above64} {END}");
        assert_eq!(certificate(&[&blanks]), both);
        for none in [&[][..], &[""], &["-"], &["(null)"]] {
            assert_eq!(certificate(none), Ok(None), "{none:?}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_read_is_not_passed_over() {
        let base64 = STANDARD.encode([0x30, 0x00]);
        let long = [base64.as_str(); CHAIN_MAX + 1].join(",");
        let open = format!("{BEGIN}{base64}");
        for lines in [
            &["nonsense!"][..],
            &[&base64, &base64],
            &[&long],
            &[&open],
            &["%ff%fe"],
            &[":MAA="],
            &["::"],
            &[&format!("{BEGIN}{base64}{END}x")],
        ] {
            assert_eq!(certificate(lines), Err(UnreadableCertificate), "{lines:?}");
        }
        let silent = TrustedProxies { certificate_header: None, ..proxies() };
        assert_eq!(silent.certificate(&headers(&[("x-client-cert", &base64)])), Ok(None));
    }
}
