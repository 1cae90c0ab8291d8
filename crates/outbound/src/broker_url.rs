//! The URL of a message broker: `nats://HOST:PORT`, and with TLS `tls://HOST:PORT`.

use url::{Host, Url};

use super::destination::{Guard, Refusal};

/// The protocol of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// NATS, with JetStream.
    Nats,
}

/// A scheme of brokers.
struct Scheme {
    name: &'static str,
    secure: &'static str,
    is_secure: bool,
    /// `None`: no version of the gateway speaks it yet, or this one was built without it.
    protocol: Option<(Protocol, u16)>,
}

const fn scheme(name: &'static str, secure: &'static str, protocol: Option<(Protocol, u16)>) -> [Scheme; 2] {
    [
        Scheme { name, secure, is_secure: false, protocol },
        Scheme { name: secure, secure, is_secure: true, protocol },
    ]
}

const SCHEMES: [[Scheme; 2]; 4] = [
    scheme("nats", "tls", if cfg!(feature = "nats") { Some((Protocol::Nats, 4222)) } else { None }),
    scheme("amqp", "amqps", None),
    scheme("mqtt", "mqtts", None),
    scheme("kafka", "kafka+tls", None),
];

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrokerUrl {
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it is spoken to over TLS only.
    pub is_secure: bool,
    /// Its host.
    pub host: Host,
    /// Its port.
    pub port: u16,
    scheme: &'static str,
    secure_scheme: &'static str,
    /// The same place as a URL of HTTP, in which every spelling of an address is recognised.
    place: Url,
}

/// What is wrong with the URL of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// A user name or password in it.
    #[error("a URL may not carry a user name or password: give them as credentials")]
    UserInfo,
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl BrokerUrl {
    /// Whether the text names a broker, well or badly.
    pub fn is_meant_by(text: &str) -> bool {
        of_scheme(text).is_some()
    }

    /// Reads the URL of a broker; `None` if it has another scheme.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Option<Result<Self, BrokerUrlError>> {
        of_scheme(text).map(|scheme| Self::read(text, scheme))
    }

    fn read(text: &str, scheme: &Scheme) -> Result<Self, BrokerUrlError> {
        let other = |message: String| BrokerUrlError::Other(message);
        let Some((protocol, default_port)) = scheme.protocol else {
            return Err(other(format!("{}:// is no broker that this gateway can publish to", scheme.name)));
        };
        let url = Url::parse(text).map_err(|error| other(format!("not a valid URL ({error})")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BrokerUrlError::UserInfo);
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(other("the URL names no host".to_owned()));
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            let message = format!("write {}://HOST:PORT and nothing behind it", scheme.name);
            return Err(other(message));
        }
        let port = url.port().unwrap_or(default_port);
        let like = if scheme.is_secure { "https" } else { "http" };
        let place = Url::parse(&format!("{like}://{host}:{port}/"));
        let place = place.map_err(|error| other(format!("not a valid URL ({error})")))?;
        let Some(host) = place.host().map(|host| host.to_owned()) else {
            return Err(other("the URL names no host".to_owned()));
        };
        Ok(Self {
            protocol,
            is_secure: scheme.is_secure,
            host,
            port,
            scheme: scheme.name,
            secure_scheme: scheme.secure,
            place,
        })
    }

    /// The check when a webhook is created, as [`Guard::check_creation`]. `carries_secret`: a password or a
    /// token is sent to it.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub async fn check_creation(&self, guard: &Guard, carries_secret: bool) -> Result<(), Refusal> {
        let checked = guard.check_creation(&self.place, carries_secret).await;
        checked.map_err(|refusal| self.in_its_words(refusal))
    }

    /// The check before each connection, as [`Guard::check_url`].
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, guard: &Guard, carries_secret: bool) -> Result<(), Refusal> {
        guard.check_url(&self.place, carries_secret).map_err(|refusal| self.in_its_words(refusal))
    }

    /// A refusal that speaks of this scheme instead of HTTP's.
    pub(super) fn in_its_words(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::HttpsOnly => Refusal::PlainBroker { scheme: self.scheme, secure: self.secure_scheme },
            Refusal::SecretInClear { host } => {
                Refusal::CredentialsInClear { host, secure: self.secure_scheme }
            }
            other => other,
        }
    }
}

fn of_scheme(text: &str) -> Option<&'static Scheme> {
    let (name, _) = text.trim_start().split_once(':')?;
    SCHEMES.iter().flatten().find(|scheme| scheme.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BrokerUrl, String> {
        BrokerUrl::parse(text).expect("a broker's").map_err(|error| error.to_string())
    }

    #[test]
    fn endpoints_are_no_brokers() {
        for text in ["https://example.com/", "http://nats:4222/", "ftp://example.com/", "nats", ""] {
            assert_eq!(BrokerUrl::parse(text), None, "{text}");
        }
    }

    #[cfg(feature = "nats")]
    #[test]
    fn a_broker_has_a_host_a_port_and_nothing_else() {
        let plain = read("NATS://Example.com").expect("reads");
        assert_eq!((plain.port, plain.is_secure), (4222, false));
        assert_eq!(plain.host, Host::Domain("example.com".to_owned()));
        let secure = read("tls://[2001:db8::1]:443").expect("reads");
        assert_eq!((secure.port, secure.is_secure), (443, true));
        for (text, words) in [
            ("nats://", "names no host"),
            ("nats:example.com", "names no host"),
            ("nats://example.com:0x/", "not a valid URL"),
            ("nats://user@example.com", "give them as credentials"),
            ("nats://:pass@example.com", "give them as credentials"),
            ("nats://example.com/subject", "nothing behind it"),
            ("nats://example.com?a=1", "nothing behind it"),
            ("kafka://example.com", "is no broker that this gateway can publish to"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[cfg(feature = "nats")]
    #[test]
    fn every_spelling_of_a_refused_address_is_refused() {
        let guard = Guard::default();
        for text in [
            "nats://127.0.0.1",
            "nats://127.1",
            "nats://0x7f000001",
            "tls://[::1]:1",
            "nats://10.1.2.3",
            "nats://localhost",
            "nats://169.254.169.254",
        ] {
            let refusal = read(text).expect("reads").check(&guard, false).expect_err(text);
            assert!(matches!(refusal, Refusal::Address { .. }), "{text}: {refusal}");
        }
    }

    #[cfg(feature = "nats")]
    #[test]
    fn refusals_speak_of_brokers() {
        let strict = Guard { https_only: true, ..Guard::default() };
        let plain = read("nats://example.com").expect("reads");
        let refusal = plain.check(&strict, false).expect_err("no TLS").to_string();
        assert!(refusal.contains("plain nats:// is switched off") && refusal.contains("tls://"), "{refusal}");
        let address = read("nats://93.184.216.34").expect("reads");
        let refusal = address.check(&Guard::default(), true).expect_err("in the clear").to_string();
        assert!(refusal.contains("with a password or a token the URL must be tls://"), "{refusal}");
        assert_eq!(address.check(&Guard::default(), false), Ok(()));
        assert_eq!(read("tls://93.184.216.34").expect("reads").check(&strict, true), Ok(()));
    }
}
