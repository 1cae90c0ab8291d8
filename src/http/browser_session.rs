//! The session of a browser: a cookie that stands for the API key that somebody has signed in with.
//!
//! The cookie is sealed under a key of the installation, so nobody can make or read one. It holds the key's
//! hash and never the key, and the key is looked up on every request: a session ends with its key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::COOKIE;
use subtle::ConstantTimeEq;

use store::{StoreError, Vault};
use vocabulary::clock::Timestamp;

/// The name of the cookie.
const NAME: &str = "chargehook_session";

/// What sessions are sealed for.
const PURPOSE: &str = "session of a browser";

/// What the content begins with: the version of its form.
const VERSION: u8 = 1;

const HASH_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
const TOKEN_BYTES: usize = 16;

/// Somebody who has signed in; as an extension of a request it takes the place of a key's header. Only code
/// of this process can set it.
#[derive(Clone, Copy)]
pub struct SignedIn([u8; HASH_BYTES]);

impl SignedIn {
    /// The hash of the API key.
    pub(super) fn key_hash(self) -> [u8; HASH_BYTES] {
        self.0
    }
}

/// What a browser's cookie holds. Not `Debug`: a key that somebody has chosen can be guessed from its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct BrowserSession {
    key_hash: [u8; HASH_BYTES],
    ends_at: Timestamp,
    form_token: [u8; TOKEN_BYTES],
}

impl BrowserSession {
    /// The one who has signed in.
    pub fn signed_in(&self) -> SignedIn {
        SignedIn(self.key_hash)
    }

    /// What every form of this session has to send along. Another site cannot read it.
    pub fn form_token(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.form_token)
    }

    /// Whether a form has sent the token of this session.
    pub fn fits(&self, token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(token.as_bytes()).into()
    }
}

/// Begins sessions, and opens what cookies hold of them.
#[derive(Clone)]
pub struct BrowserSessions(Vault);

impl BrowserSessions {
    /// Sessions that are sealed with this vault.
    pub fn new(vault: Vault) -> Self {
        Self(vault)
    }

    /// A session with a key until then, as the value of its cookie.
    ///
    /// # Errors
    /// If there is no randomness, or the store was opened without its key.
    pub(super) fn begin(
        &self,
        key_hash: [u8; HASH_BYTES],
        ends_at: Timestamp,
    ) -> Result<(String, BrowserSession), StoreError> {
        let mut form_token = [0; TOKEN_BYTES];
        getrandom::fill(&mut form_token).map_err(StoreError::NoRandomness)?;
        let mut content = vec![VERSION];
        content.extend(key_hash);
        content.extend(ends_at.unix_ms().to_be_bytes());
        content.extend(form_token);
        Ok((self.seal(PURPOSE, &content)?, BrowserSession { key_hash, ends_at, form_token }))
    }

    /// The session of a request, unless it is over.
    pub fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<BrowserSession> {
        let content = self.open(PURPOSE, cookie(headers, NAME)?)?;
        let (version, rest) = content.split_first()?;
        let (key_hash, rest) = rest.split_first_chunk::<HASH_BYTES>()?;
        let (ends_at, rest) = rest.split_first_chunk::<TIME_BYTES>()?;
        let ends_at = Timestamp::from_unix_ms(i64::from_be_bytes(*ends_at));
        let session = BrowserSession { key_hash: *key_hash, ends_at, form_token: rest.try_into().ok()? };
        (*version == VERSION && session.ends_at > now).then_some(session)
    }

    /// Seals the value of a cookie.
    ///
    /// # Errors
    /// As [`BrowserSessions::begin`].
    pub fn seal(&self, purpose: &'static str, content: &[u8]) -> Result<String, StoreError> {
        Ok(URL_SAFE_NO_PAD.encode(self.0.seal_for(purpose, content)?))
    }

    /// What was sealed for this purpose; `None` for anything else.
    pub fn open(&self, purpose: &'static str, value: &str) -> Option<Vec<u8>> {
        self.0.open_for(purpose, &URL_SAFE_NO_PAD.decode(value).ok()?).ok()
    }

    /// The name of the session's cookie.
    pub fn cookie_name() -> &'static str {
        NAME
    }
}

/// A cookie of a request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use store::{KeySource, Store};
    use vocabulary::clock::Clock;

    use super::*;

    fn sessions() -> (BrowserSessions, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let key = KeySource::file_in(dir.path());
        let opened = Store::open_with(dir.path(), &key, Clock::System).expect("opens");
        (BrowserSessions::new(opened.vault), dir)
    }

    fn sent(value: &str) -> HeaderMap {
        let line = format!("other=1; {NAME}={value}; {NAME}x=2");
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&line).expect("legal"))])
    }

    #[test]
    fn a_cookie_is_a_session_until_its_end() {
        let (sessions, _dir) = sessions();
        let end = Timestamp::from_unix_ms(1_776_170_096_789);
        let (value, begun) = sessions.begin([7; 32], end).expect("begins");
        let read = |value: &str, ms| sessions.of(&sent(value), Timestamp::from_unix_ms(end.unix_ms() + ms));
        assert!(read(&value, -1).is_some_and(|session| session == begun));
        assert!(read(&value, 0).is_none(), "it is over");
        assert!(begun.fits(&begun.form_token()) && !begun.fits("") && !begun.fits("AAAA"));
        let (other, _) = sessions.begin([7; 32], end).expect("begins");
        assert_ne!(value, other);
        let flash = sessions.seal("another purpose", &[1; 57]).expect("seals");
        for wrong in ["", "x", &value[1..], &value.to_uppercase(), &flash] {
            assert!(read(wrong, -1).is_none(), "{wrong}");
        }
        let (foreign, _dir) = self::sessions();
        assert!(foreign.of(&sent(&value), Timestamp::from_unix_ms(0)).is_none(), "another installation");
    }
}
