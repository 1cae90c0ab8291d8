//! Links that sign in once, for whoever reads them in the terminal of the demo. They live in memory, for a
//! few minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use vocabulary::clock::Timestamp;

/// How long a link opens.
const LIFE: Duration = Duration::from_secs(600);

/// Links that are open at once; the oldest gives way.
const MAX: usize = 100;

/// The links that have not been used.
#[derive(Default)]
pub struct OneTimeLinks(Mutex<HashMap<String, (String, Timestamp)>>);

impl OneTimeLinks {
    /// The path of a link that signs in with `key`; `None` if the system has no randomness.
    pub fn make(&self, key: &str, now: Timestamp) -> Option<String> {
        let mut bits = [0; 24];
        getrandom::fill(&mut bits).ok()?;
        let token = URL_SAFE_NO_PAD.encode(bits);
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, (_, ends_at)| *ends_at > now);
        if links.len() >= MAX {
            let oldest =
                links.iter().min_by_key(|(_, (_, ends_at))| *ends_at).map(|(token, _)| token.clone());
            oldest.map(|token| links.remove(&token));
        }
        links.insert(token.clone(), (key.to_owned(), now.after(LIFE)));
        Some(format!("/ui/login?once={token}"))
    }

    /// The key of a link, which opens no more.
    pub(super) fn take(&self, token: &str, now: Timestamp) -> Option<String> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.remove(token).filter(|(_, ends_at)| *ends_at > now).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_once_and_not_for_long() {
        let (links, now) = (OneTimeLinks::default(), Timestamp::from_unix_ms(1_776_170_096_789));
        let token = |path: String| path.strip_prefix("/ui/login?once=").expect("a link").to_owned();
        let first = token(links.make("k", now).expect("random"));
        assert_eq!(links.take(&first, now.after(LIFE - Duration::from_millis(1))).as_deref(), Some("k"));
        assert_eq!(links.take(&first, now), None, "it was used");
        let late = token(links.make("k", now).expect("random"));
        assert_eq!(links.take(&late, now.after(LIFE)), None, "it is over");
        for _ in 0..2 * MAX {
            links.make("k", now);
        }
        assert!(links.0.lock().expect("whole").len() <= MAX);
    }
}
