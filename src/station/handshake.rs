//! The HTTP side of a charger's connection: which station it is, whether it may connect, and the answer if
//! not.
//!
//! Everything here is pure. The listener asks in the order of [`Refusal`], and makes the checks that need the
//! store.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{self, GeneralPurpose, STANDARD};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use vocabulary::id::StationId;
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::setting::setting_words;
use vocabulary::words::listed;

/// The segment before the identity in the documented URL; alone it names no station.
const BASE: &str = "ocpp";

/// Why a charger is refused. The spelling is that of `StationRejected`'s `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No identity, one with forbidden characters, or a prefix that is not allowed.
    NotFound,
    /// An ordinary HTTP request.
    NotWebSocket,
    /// A WebSocket request without one key of 16 bytes.
    BadKey,
    /// It offers only subprotocols that are not spoken.
    UnknownSubprotocol,
    /// It offers no subprotocol, which is not accepted.
    MissingSubprotocol,
    /// The station is unknown, and unknown stations are refused.
    UnknownStation,
    /// Basic authentication is missing or wrong.
    BadCredentials,
    /// Too many wrong credentials, or unknown stations, came from its address.
    TooManyFailures,
    /// Too many passwords wait to be checked.
    PasswordsWait,
    /// Its client certificate belongs to another station.
    WrongCertificate,
    /// The operator has blocked it.
    Blocked,
    /// It must connect with a higher security profile.
    SecurityProfileTooLow,
    /// Over a limit; try again later.
    Overloaded,
    /// The database that this gateway shares with others cannot be reached.
    StoreAway,
    /// The gateway failed.
    Internal,
}

impl Refusal {
    /// All refusals.
    pub const ALL: [Self; 15] = [
        Self::NotFound,
        Self::NotWebSocket,
        Self::BadKey,
        Self::UnknownSubprotocol,
        Self::MissingSubprotocol,
        Self::UnknownStation,
        Self::BadCredentials,
        Self::TooManyFailures,
        Self::PasswordsWait,
        Self::WrongCertificate,
        Self::Blocked,
        Self::SecurityProfileTooLow,
        Self::Overloaded,
        Self::StoreAway,
        Self::Internal,
    ];

    /// The reason as the event spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotWebSocket => "not_a_websocket",
            Self::BadKey => "bad_websocket_key",
            Self::UnknownSubprotocol => "unknown_subprotocol",
            Self::MissingSubprotocol => "missing_subprotocol",
            Self::UnknownStation => "unknown_station",
            Self::BadCredentials => "bad_credentials",
            Self::TooManyFailures => "too_many_failures",
            Self::PasswordsWait => "passwords_wait",
            Self::WrongCertificate => "wrong_certificate",
            Self::Blocked => "blocked",
            Self::SecurityProfileTooLow => "security_profile_too_low",
            Self::Overloaded => "overloaded",
            Self::StoreAway => "store_away",
            Self::Internal => "internal_error",
        }
    }

    /// The HTTP status it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownStation => StatusCode::NOT_FOUND,
            Self::NotWebSocket => StatusCode::UPGRADE_REQUIRED,
            Self::BadKey | Self::UnknownSubprotocol | Self::MissingSubprotocol => StatusCode::BAD_REQUEST,
            Self::BadCredentials => StatusCode::UNAUTHORIZED,
            Self::WrongCertificate | Self::Blocked | Self::SecurityProfileTooLow => StatusCode::FORBIDDEN,
            Self::TooManyFailures | Self::PasswordsWait | Self::Overloaded | Self::StoreAway => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether it is published as `StationRejected`.
    pub fn is_event(self) -> bool {
        use Refusal::{BadKey, Internal, NotFound, NotWebSocket, Overloaded, PasswordsWait, StoreAway};
        !matches!(self, NotFound | NotWebSocket | BadKey | Overloaded | PasswordsWait | StoreAway | Internal)
    }

    /// The words of the answer.
    pub fn words(self) -> Cow<'static, str> {
        let text = match self {
            Self::NotFound => "no station identity here: connect to /ocpp/{stationId}",
            Self::NotWebSocket => "this is an OCPP endpoint: connect with a WebSocket (version 13)",
            Self::BadKey => "Sec-WebSocket-Key must be there once, with 16 bytes in base64",
            Self::UnknownSubprotocol => {
                return format!("none of the offered subprotocols is spoken: offer {}", spoken()).into();
            }
            Self::MissingSubprotocol => {
                return format!("no subprotocol was offered: offer {}", spoken()).into();
            }
            Self::UnknownStation => "this station is not registered",
            Self::BadCredentials => {
                "Basic authentication is required: the identity and the station's password"
            }
            Self::TooManyFailures => "too many failures from this address: try again later",
            Self::PasswordsWait => "too many passwords are being checked: try again later",
            Self::WrongCertificate => "this client certificate is not that of this station",
            Self::Blocked => "this station is blocked",
            Self::SecurityProfileTooLow => "this station must connect with a higher security profile",
            Self::Overloaded => "too many connections or handshakes: try again later",
            Self::StoreAway => "the gateway cannot reach its database: try again later",
            Self::Internal => "the gateway could not look the station up: try again later",
        };
        Cow::Borrowed(text)
    }

    /// `Retry-After` in seconds, spread so that chargers do not come back all at once.
    fn retry_after_s(self) -> Option<u32> {
        let (least, spread) = match self {
            Self::Overloaded | Self::StoreAway | Self::Internal => (5, 10),
            Self::PasswordsWait => (5, 25),
            Self::TooManyFailures => (30, 30),
            _ => return None,
        };
        Some(least + getrandom::u32().unwrap_or(0) % (spread + 1))
    }

    /// The answer; the connection is closed after it.
    pub fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.words().into_owned())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self {
            Self::BadCredentials => {
                let challenge = HeaderValue::from_static("Basic realm=\"chargehook\", charset=\"UTF-8\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            Self::NotWebSocket => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade, close"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}

/// The subprotocols that are spoken, as a text.
fn spoken() -> String {
    listed(&Protocol::ALL.map(Protocol::as_str))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The identity in a request's path: its last segment, percent-decoded once.
///
/// Chargers append their identity to whatever URL they were given, so any segments may stand before
/// it, unless `prefixes` lists those that may; double and trailing slashes are overlooked, and so are blanks
/// around the identity, which come from forms and spreadsheets.
///
/// # Errors
/// [`Refusal::NotFound`] for no identity, a bad one, or another prefix.
pub fn identity(path: &str, prefixes: &[String]) -> Result<StationId, Refusal> {
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let last = segments.pop().ok_or(Refusal::NotFound)?;
    let allowed = |prefix: &String| {
        let wanted = prefix.split('/').filter(|segment| !segment.is_empty());
        let wanted: Vec<&str> = wanted.collect();
        segments.starts_with(&wanted)
    };
    if !prefixes.is_empty() && !prefixes.iter().any(allowed) {
        return Err(Refusal::NotFound);
    }
    if has_bad_escape(last) {
        return Err(Refusal::NotFound);
    }
    let decoded = percent_decode_str(last).decode_utf8().map_err(|_| Refusal::NotFound)?;
    if segments.is_empty() && decoded.trim() == BASE {
        return Err(Refusal::NotFound);
    }
    StationId::new(&decoded).ok().filter(|id| !id.is_reserved()).ok_or(Refusal::NotFound)
}

/// Whether a path has something without meaning: doubled slashes, one at its end, or blanks around the
/// identity.
pub fn is_odd(path: &str) -> bool {
    let last = path.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or_default();
    let decoded = percent_decode_str(last).decode_utf8_lossy();
    path.contains("//") || path.ends_with('/') || decoded.trim().len() != decoded.len()
}

/// The decoder ignores a `%` without two hex digits; here it is an error.
fn has_bad_escape(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%'
            && !bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The `Sec-WebSocket-Key` of a well-formed WebSocket request (RFC 6455, 4.2.1): there is one, of 16 bytes.
///
/// # Errors
/// [`Refusal::BadKey`] for another key; [`Refusal::NotWebSocket`] for everything else.
pub fn websocket_key<B>(request: &Request<B>) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    let is_websocket = request.method() == Method::GET
        && request.version() >= Version::HTTP_11
        && has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
        && has_token(headers, header::SEC_WEBSOCKET_VERSION, "13");
    if !is_websocket {
        return Err(Refusal::NotWebSocket);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if has_16_bytes(key) => Ok(key.clone()),
        _ => Err(Refusal::BadKey),
    }
}

fn has_16_bytes(key: &HeaderValue) -> bool {
    // Some chargers send random characters; the unused bits of the last one are ignored.
    const BASE64: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, general_purpose::PAD.with_decode_allow_trailing_bits(true));
    BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)
}

fn tokens(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// What becomes of a handshake that offers no WebSocket subprotocol (`ocpp.missing_subprotocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingSubprotocol {
    /// It is served as OCPP 1.6, and the station is flagged.
    Accept,
    /// It is refused with 400.
    Reject,
}

setting_words!(MissingSubprotocol: "accept" => MissingSubprotocol::Accept, "reject" => MissingSubprotocol::Reject);

/// The version of OCPP that a connection speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// The version.
    pub protocol: Protocol,
    /// The offer, in the charger's own spelling, because a careful client takes no other as the answer.
    /// `None`: it offers nothing, and that is accepted.
    pub offer: Option<HeaderValue>,
}

/// Chooses among the versions that the charger offers: the newest that is spoken here.
///
/// # Errors
/// [`Refusal::UnknownSubprotocol`] or [`Refusal::MissingSubprotocol`].
pub fn negotiate(headers: &HeaderMap, missing: MissingSubprotocol) -> Result<Negotiated, Refusal> {
    if tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).next().is_none() {
        return match missing {
            MissingSubprotocol::Accept => Ok(Negotiated { protocol: Protocol::default(), offer: None }),
            MissingSubprotocol::Reject => Err(Refusal::MissingSubprotocol),
        };
    }
    let offered = |protocol: Protocol| {
        let spellings = || tokens(headers, header::SEC_WEBSOCKET_PROTOCOL);
        // By the specification the token is exact; another case is overlooked because that harms nobody.
        let token = spellings()
            .find(|token| *token == protocol.as_str())
            .or_else(|| spellings().find(|token| token.eq_ignore_ascii_case(protocol.as_str())))?;
        Some(Negotiated { protocol, offer: Some(HeaderValue::from_str(token).ok()?) })
    };
    Protocol::ALL.into_iter().rev().find_map(offered).ok_or(Refusal::UnknownSubprotocol)
}

/// User name and password of a request. Not `Debug`: it holds a password.
pub struct BasicCredentials {
    /// The bytes before the first colon.
    pub user: Vec<u8>,
    /// The bytes behind it, of any value.
    pub password: Vec<u8>,
}

/// The credentials of Basic authentication, if there are any that can be read.
pub fn basic_credentials(headers: &HeaderMap) -> Option<BasicCredentials> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut user = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = user.iter().position(|byte| *byte == b':')?;
    let password = user.split_off(colon + 1);
    user.truncate(colon);
    Some(BasicCredentials { user, password })
}

/// The answer that makes the connection a WebSocket.
pub fn switching_protocols(key: &HeaderValue, subprotocol: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, prefixes: &[&str], expected: Option<&str>) {
        let prefixes: Vec<String> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let found = identity(path, &prefixes).ok();
        assert_eq!(found.as_ref().map(StationId::as_str), expected, "{path} under {prefixes:?}");
    }

    #[test]
    fn the_identity_is_the_last_segment_decoded_once() {
        check("/ocpp/CP_1", &[], Some("CP_1"));
        check("/ocpp/RDAM%20123", &[], Some("RDAM 123"));
        check("/ocpp/site-7/CP_1", &[], Some("CP_1"));
        check("/steve/websocket/CentralSystemService/CP_1", &[], Some("CP_1"));
        check("//x/CP1/", &[], Some("CP1"));
        check("/ocpp/a+b", &[], Some("a+b"));
        check("/ocpp/%2541", &[], Some("%41"));
        check("/ocpp/ocpp", &[], Some("ocpp"));
        check("/ocpp/%20CP_1%09%20", &[], Some("CP_1"));
        check("/ocpp/%20RDAM%20123%20/", &[], Some("RDAM 123"));
        check("/ocpp/CP_1%0D%0A", &[], Some("CP_1"));
        check("/ocpp/%20", &[], None);
        check("/ocpp%20", &[], None);
        check(&format!("/ocpp/%20{}%20", "x".repeat(StationId::MAX_CHARS)), &[], Some(&"x".repeat(64)));
        for none in
            ["/", "", "/ocpp", "/ocpp/", "/ocpp/%ff", "/ocpp/%zz", "/ocpp/%4", "/ocpp/a%2Fb", "/ocpp/a%3Ab"]
        {
            check(none, &[], None);
        }
    }

    #[test]
    fn listed_prefixes_are_the_only_ones() {
        check("/ocpp/CP_1", &["/ocpp"], Some("CP_1"));
        check("/ocpp/site-7/CP_1", &["/ocpp"], Some("CP_1"));
        check("/other/CP_1", &["/ocpp"], None);
        check("/CP_1", &["/ocpp"], None);
        check("/other/CP_1", &["/ocpp", "/other/"], Some("CP_1"));
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_str(value).expect("legal"))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_version_that_is_spoken_is_chosen_among_what_is_offered() {
        const NAME: &str = "sec-websocket-protocol";
        let spoken = Protocol::default().as_str();
        let shouted = spoken.to_ascii_uppercase();
        let negotiated = |lines: &[(&'static str, &str)], missing| {
            let negotiated = negotiate(&headers(lines), missing)?;
            assert_eq!(negotiated.protocol, Protocol::default());
            Ok(negotiated.offer.map(|offer| offer.to_str().expect("a text").to_owned()))
        };
        let offers = |value: &str| negotiated(&[(NAME, value)], MissingSubprotocol::Accept);
        let spelled = |token: &str| Ok(Some(token.to_owned()));
        assert_eq!(offers(spoken), spelled(spoken));
        assert_eq!(offers(&format!("{shouted}, {spoken}")), spelled(spoken));
        assert_eq!(offers(&format!("ocpp0.1, {shouted}")), spelled(&shouted));
        assert_eq!(offers("ocpp0.2"), Err(Refusal::UnknownSubprotocol));
        assert_eq!(negotiated(&[], MissingSubprotocol::Accept), Ok(None));
        assert_eq!(negotiated(&[], MissingSubprotocol::Reject), Err(Refusal::MissingSubprotocol));
        let mut lines = headers(&[(NAME, "ocpp0.1")]);
        lines.append(NAME, HeaderValue::from_static(spoken));
        let offer = negotiate(&lines, MissingSubprotocol::Reject).map(|negotiated| negotiated.offer);
        assert_eq!(offer, Ok(Some(HeaderValue::from_static(spoken))));
    }

    #[test]
    fn a_websocket_has_one_key_of_16_bytes() {
        let asked = |keys: &[&str]| {
            let mut request = Request::new(());
            *request.headers_mut() = headers(&[
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
            ]);
            for key in keys {
                let key = HeaderValue::from_str(key).expect("legal");
                request.headers_mut().append(header::SEC_WEBSOCKET_KEY, key);
            }
            websocket_key(&request).map(|key| key.to_str().expect("a text").to_owned())
        };
        // The second one has bits left over.
        for good in ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="] {
            assert_eq!(asked(&[good]), Ok(good.to_owned()));
        }
        for bad in [
            &[][..],
            &[""],
            &["dGhlIHNhbXBsZSBub25jZQ"],
            &["dGhlIHNhbXBsZSBub25j"],
            &["dGhlIHNhbXBsZSBub25jZWQ="],
            &["dGhlIHNhbXBsZSBub25jZQ==="],
            &["dGhlIHNhbXBs_SBub25jZQ=="],
            &["dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="],
            &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
        ] {
            assert_eq!(asked(bad), Err(Refusal::BadKey), "{bad:?}");
        }
        assert_eq!(websocket_key(&Request::new(())), Err(Refusal::NotWebSocket));
    }

    #[test]
    fn a_password_is_bytes() {
        let value = "Basic QUwxMDAwOgABAgMEBQYH////////////////";
        let BasicCredentials { user, password } =
            basic_credentials(&headers(&[("authorization", value)])).expect("read");
        assert_eq!(user, b"AL1000");
        assert_eq!(hex::encode(password), "0001020304050607ffffffffffffffffffffffff");
        for wrong in ["Bearer abc", "Basic ", "Basic !!!", "Basic QUI="] {
            assert!(basic_credentials(&headers(&[("authorization", wrong)])).is_none(), "{wrong}");
        }
    }
}
