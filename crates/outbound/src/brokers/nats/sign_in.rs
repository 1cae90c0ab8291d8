//! The first words with a server of NATS: what it is, and who we are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::BytesMut;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::{Operation, next};
use crate::broker_failure::Failure;
use vocabulary::broker::BrokerCredentials;
use vocabulary::delivery::ErrorCode;

/// What a server says of itself.
#[derive(Deserialize)]
pub(super) struct Info {
    #[serde(default)]
    pub(super) tls_required: bool,
    #[serde(default)]
    pub(super) tls_available: bool,
    #[serde(default)]
    pub(super) max_payload: usize,
    #[serde(default)]
    headers: bool,
    nonce: Option<String>,
}

impl Info {
    pub(super) fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok().filter(|info: &Self| info.max_payload > 0)
    }
}

/// What a server of NATS says first.
pub(super) async fn greeting<R: AsyncRead + Unpin>(
    stream: &mut R,
    read: &mut BytesMut,
) -> Result<Info, Failure> {
    match operation(stream, read).await? {
        Operation::Info(json) => Info::read(&json).ok_or_else(|| no_nats(format!("its INFO is {json:?}"))),
        other => Err(no_nats(format!("it began with {other:?}"))),
    }
}

/// Says who we are, and subscribes to the answers of this connection. Returns the subject that they come to.
pub(super) async fn sign_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
    info: &Info,
    is_secure: bool,
    credentials: Option<&BrokerCredentials>,
) -> Result<String, Failure> {
    if !info.headers {
        return Err(Failure::new(
            ErrorCode::Connect,
            "this server of NATS knows no headers: it is older than 2.2",
        ));
    }
    let mut connect = json!({
        "verbose": false, "pedantic": false, "tls_required": is_secure, "protocol": 1, "headers": true,
        "no_responders": true, "echo": false, "lang": "rust", "name": "chargehook",
        "version": env!("CARGO_PKG_VERSION"),
    });
    prove(&mut connect, info, credentials)?;
    let mut random = [0; 12];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(ErrorCode::Connect, format!("no random inbox: {error}")))?;
    let inbox = format!("_INBOX.{}", hex::encode(random));
    let first = format!("CONNECT {connect}\r\nSUB {inbox}.* 1\r\nPING\r\n");
    let broke = |error: std::io::Error| no_nats(format!("the connection broke: {error}"));
    stream.write_all(first.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;
    loop {
        match operation(stream, read).await? {
            Operation::Fine => return Ok(inbox),
            Operation::Error(error) => return Err(refusal(&error)),
            Operation::Info(_) | Operation::Ping | Operation::Message { .. } => {}
        }
    }
}

async fn operation<R: AsyncRead + Unpin>(stream: &mut R, read: &mut BytesMut) -> Result<Operation, Failure> {
    loop {
        if let Some(operation) = next(read).map_err(no_nats)? {
            return Ok(operation);
        }
        match stream.read_buf(read).await {
            Ok(0) => return Err(no_nats("it closed the connection".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(no_nats(error.to_string())),
        }
    }
}

fn no_nats(why: String) -> Failure {
    Failure::new(ErrorCode::Reset, format!("the server did not sign us in (does it speak NATS?): {why}"))
}

/// What the server means with an error after which it closes the connection.
pub(super) fn refusal(error: &str) -> Failure {
    let lower = error.to_ascii_lowercase();
    if lower.starts_with("permissions violation for subscription") {
        let message = format!("the credentials may not subscribe to answers (allow them _INBOX.>): {error}");
        return Failure::new(ErrorCode::NotAuthorized, message);
    }
    let of_authority = ["authorization violation", "authentication", "account authentication", "jwt"];
    if of_authority.iter().any(|words| lower.contains(words)) {
        let message = format!("the server refuses the credentials: {error}");
        return Failure::new(ErrorCode::NotAuthorized, message);
    }
    Failure::new(ErrorCode::Reset, format!("the server closes the connection: {error}"))
}

/// Adds what proves who we are.
fn prove(connect: &mut Value, info: &Info, credentials: Option<&BrokerCredentials>) -> Result<(), Failure> {
    let Some(credentials) = credentials else { return Ok(()) };
    let wrong = |words: &str| Failure::new(ErrorCode::NotAuthorized, words);
    let seed = if let Some(token) = &credentials.token {
        connect["auth_token"] = token.as_str().into();
        return Ok(());
    } else if let (Some(user), Some(password)) = (&credentials.username, &credentials.password) {
        connect["user"] = user.as_str().into();
        connect["pass"] = password.as_str().into();
        return Ok(());
    } else if let Some(creds) = &credentials.creds {
        let (jwt, seed) =
            parts_of_creds(creds).ok_or_else(|| wrong("creds hold no JWT and seed of a user"))?;
        connect["jwt"] = jwt.into();
        seed.to_owned()
    } else {
        credentials.nkey.clone().unwrap_or_default()
    };
    let user = UserKey::of_seed(seed.trim()).ok_or_else(|| wrong("nkey is no seed of a user (SU…)"))?;
    let nonce = info.nonce.as_deref().ok_or_else(|| wrong("the server does not take nkeys"))?;
    connect["nkey"] = user.public.into();
    connect["sig"] = URL_SAFE_NO_PAD.encode(user.pair.sign(nonce.as_bytes())).into();
    Ok(())
}

/// Whether credentials of NATS can be read; says what is wrong with which.
pub(in crate::brokers) fn problem(credentials: &BrokerCredentials) -> Option<(&'static str, &'static str)> {
    let bad_seed = |seed: &str| UserKey::of_seed(seed.trim()).is_none();
    if credentials.nkey.as_deref().is_some_and(bad_seed) {
        return Some(("nkey", "must be the seed of a user: SU and 56 more letters and digits"));
    }
    let bad_creds = |creds: &str| parts_of_creds(creds).is_none_or(|(_, seed)| bad_seed(seed));
    credentials
        .creds
        .as_deref()
        .is_some_and(bad_creds)
        .then_some(("creds", "must be the content of a .creds file: the JWT of a user and its seed"))
}

/// The JWT and the seed of a `.creds` file.
fn parts_of_creds(creds: &str) -> Option<(&str, &str)> {
    let part = |name: &str| {
        let (_, behind) = creds.split_once(&format!("BEGIN {name}"))?;
        behind.lines().skip(1).map(str::trim).find(|line| !line.is_empty())
    };
    Some((part("NATS USER JWT")?, part("USER NKEY SEED")?))
}

/// The key of a user.
struct UserKey {
    pair: Ed25519KeyPair,
    /// `U…`
    public: String,
}

/// What seeds begin with: "seed", in five bits.
const SEED: u8 = 18 << 3;
/// What public keys of users begin with.
const USER: u8 = 20 << 3;

impl UserKey {
    /// Reads a seed: in base 32 two bytes of prefixes, 32 of seed, and a checksum.
    fn of_seed(text: &str) -> Option<Self> {
        let bytes = from_base32(text)?;
        let (body, sum) = bytes.split_last_chunk::<2>()?;
        let [first, second, seed @ ..] = body else { return None };
        let kind = ((first & 0b111) << 5) | (second >> 3);
        if u16::from_le_bytes(*sum) != crc16(body) || first & 0b1111_1000 != SEED || kind != USER {
            return None;
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let mut public = vec![USER];
        public.extend_from_slice(pair.public_key().as_ref());
        let sum = crc16(&public).to_le_bytes();
        public.extend_from_slice(&sum);
        Some(Self { pair, public: to_base32(&public) })
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for letter in text.bytes() {
        let value = BASE32.iter().position(|known| *known == letter)?;
        held = (held << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
        held &= 0xff;
    }
    Some(bytes)
}

fn to_base32(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut held) = (String::new(), 0u32, 0u32);
    for byte in bytes {
        held = ((held << 8) | u32::from(*byte)) & 0xffff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits) as usize & 31]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits)) as usize & 31]));
    }
    text
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| match sum & 0x8000 {
            0 => sum << 1,
            _ => (sum << 1) ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair that was published with the description of nkeys.
    const SEED_TEXT: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const PUBLIC_TEXT: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    #[test]
    fn a_seed_gives_its_public_key() {
        let user = UserKey::of_seed(SEED_TEXT).expect("a seed");
        assert_eq!(user.public, PUBLIC_TEXT);
    }

    #[test]
    fn what_is_no_seed_of_a_user_is_refused() {
        let changed = SEED_TEXT.replacen('C', "D", 1);
        for text in ["", "SU", PUBLIC_TEXT, &changed, &SEED_TEXT.to_ascii_lowercase()] {
            assert!(UserKey::of_seed(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_creds_file_holds_a_jwt_and_a_seed() {
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.a.b\n------END NATS USER JWT------\n\n* IMPORTANT *\n\n\
             -----BEGIN USER NKEY SEED-----\n{SEED_TEXT}\n------END USER NKEY SEED------\n"
        );
        assert_eq!(parts_of_creds(&file), Some(("eyJ0.a.b", SEED_TEXT)));
        let of =
            |creds: &str| problem(&BrokerCredentials { creds: Some(creds.to_owned()), ..Default::default() });
        assert_eq!(of(&file), None);
        assert_eq!(of(SEED_TEXT).map(|(field, _)| field), Some("creds"));
    }

    #[test]
    fn errors_are_told_apart() {
        for (error, code) in [
            ("Authorization Violation", ErrorCode::NotAuthorized),
            ("User Authentication Expired", ErrorCode::NotAuthorized),
            ("Permissions Violation for Subscription to \"_INBOX.a.*\"", ErrorCode::NotAuthorized),
            ("Maximum Connections Exceeded", ErrorCode::Reset),
            ("Stale Connection", ErrorCode::Reset),
        ] {
            assert_eq!(refusal(error).code, code, "{error}");
        }
    }
}
