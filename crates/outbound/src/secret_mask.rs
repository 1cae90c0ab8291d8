//! Masks secrets of a request that its answer repeats, before the answer is stored.
//!
//! Everybody who may read deliveries sees the start of answers, and an error page often repeats the request.
//! Secret values can never be read again, so they must not come back this way, or get into the database.

use http::HeaderMap;

use vocabulary::broker::BrokerCredentials;

/// Replaces a secret.
const MASK: &[u8] = b"***";

/// Shorter values are words such as `prod` rather than secrets; masking them would spoil the answer.
const MIN_BYTES: usize = 6;

/// The secrets of a request, in the spellings in which answers repeat them.
pub(super) struct SecretMask {
    /// The longest first, as one may be part of another.
    spellings: Vec<Vec<u8>>,
}

impl SecretMask {
    /// The secrets among a request's headers: those marked as sensitive.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut spellings = Vec::new();
        for value in headers.values().filter(|value| value.is_sensitive()) {
            let value = value.as_bytes();
            add(&mut spellings, value);
            // In `Basic …` and `Bearer …` only the credentials are secret.
            if let Some(blank) = value.iter().rposition(|byte| *byte == b' ') {
                add(&mut spellings, &value[blank + 1..]);
            }
        }
        Self::new(spellings)
    }

    /// Those that are sent to a broker to sign in.
    pub(super) fn of_credentials(credentials: Option<&BrokerCredentials>) -> Self {
        let mut spellings = Vec::new();
        let sent = credentials.map(|sent| [&sent.password, &sent.token]);
        for secret in sent.into_iter().flatten().flatten() {
            add(&mut spellings, secret.as_bytes());
        }
        Self::new(spellings)
    }

    fn new(mut spellings: Vec<Vec<u8>>) -> Self {
        spellings.sort_unstable_by_key(|spelling| std::cmp::Reverse(spelling.len()));
        spellings.dedup();
        Self { spellings }
    }

    /// `text` without the secrets, and without the beginning of one at its end, where it was cut.
    pub(super) fn masked(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for spelling in &self.spellings {
            text = replaced(&text, spelling);
        }
        for spelling in &self.spellings {
            let cut = (MIN_BYTES..spelling.len()).rev().find(|cut| text.ends_with(&spelling[..*cut]));
            if let Some(cut) = cut {
                text.truncate(text.len() - cut);
                text.extend_from_slice(MASK);
                break;
            }
        }
        text
    }
}

/// Adds a secret as it is and as JSON writes it, with and without escaped slashes.
fn add(spellings: &mut Vec<Vec<u8>>, secret: &[u8]) {
    if secret.len() < MIN_BYTES {
        return;
    }
    spellings.push(secret.to_vec());
    let Ok(text) = std::str::from_utf8(secret) else { return };
    let quoted = serde_json::Value::from(text).to_string();
    let escaped = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or(&quoted);
    for spelling in [escaped.to_owned(), escaped.replace('/', "\\/")] {
        if spelling.as_bytes() != secret {
            spellings.push(spelling.into_bytes());
        }
    }
}

fn replaced(text: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut left = text;
    let mut masked = Vec::with_capacity(text.len());
    while let Some(at) = left.windows(secret.len()).position(|window| window == secret) {
        masked.extend_from_slice(&left[..at]);
        masked.extend_from_slice(MASK);
        left = &left[at + secret.len()..];
    }
    masked.extend_from_slice(left);
    masked
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn secrets(values: &[&'static str]) -> SecretMask {
        let mut headers = HeaderMap::new();
        for value in values {
            let mut value = HeaderValue::from_bytes(value.as_bytes()).expect("a legal value");
            value.set_sensitive(true);
            headers.append("x-secret", value);
        }
        headers.insert("user-agent", HeaderValue::from_static("chargehook"));
        SecretMask::of(&headers)
    }

    #[track_caller]
    fn check(values: &[&'static str], text: &str, expected: &str) {
        let masked = secrets(values).masked(text.as_bytes());
        assert_eq!(String::from_utf8_lossy(&masked), expected, "{text:?} with {values:?}");
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        check(&["sesame-1234"], "X: sesame-1234, again sesame-1234!", "X: ***, again ***!");
        check(&["Basic dXNlcjpwYXNz"], "auth=Basic dXNlcjpwYXNz; token dXNlcjpwYXNz", "auth=***; token ***");
        check(&["sesame", "sesame-long"], "sesame-long sesame", "*** ***");
        check(&["a\\b/c\"d"], r#"{"h":"a\\b/c\"d","p":"a\\b\/c\"d"}"#, r#"{"h":"***","p":"***"}"#);
    }

    #[test]
    fn so_is_what_a_broker_is_told_of_us() {
        let token = BrokerCredentials { token: Some("sesame-1234".to_owned()), ..Default::default() };
        let masked = SecretMask::of_credentials(Some(&token)).masked(b"no sesame-1234 here");
        assert_eq!(masked, b"no *** here");
        assert_eq!(SecretMask::of_credentials(None).masked(b"anything"), b"anything");
    }

    #[test]
    fn one_that_was_cut_at_the_end_is_masked_too() {
        check(&["sesame-1234"], "you sent sesame-12", "you sent ***");
        check(&["sesame-1234"], "you sent sesame", "you sent ***");
        check(&["sesame-1234"], "sesame or not", "sesame or not");
    }

    #[test]
    fn words_and_headers_that_are_no_secret_stay() {
        check(&["prod"], "a product of chargehook", "a product of chargehook");
        check(&[], "anything", "anything");
    }
}
