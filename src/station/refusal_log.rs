//! Logs and counts refused connections. Floods of one address are folded.
//!
//! The first refusal of a kind is logged at once for each address. Later ones are counted and logged in one
//! line a minute. Pure but for the counts: the moment is passed in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::handshake::Refusal;
use tls::TlsFailure;
use vocabulary::clock::Timestamp;

const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are counted separately; all further ones are counted together.
const MAX_ADDRESSES: usize = 1_000;

/// Characters of a path that are shown.
const PATH_CHARS: usize = 100;

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Its handshake was answered with this refusal.
    Answered(Refusal),
    /// No TLS could be agreed on.
    Tls(TlsFailure),
    /// It speaks TLS on a plain port.
    TlsOnPlainPort,
    /// It speaks plain HTTP on a TLS port.
    PlainOnTlsPort,
    /// It does not speak HTTP/1.1.
    NotHttp,
    /// Its request has too many headers, or too long ones.
    HeadTooLarge,
    /// It closed before its request was complete.
    BrokenOff,
    /// It took too long.
    TooSlow,
    /// There are so many connections that it got no answer.
    TooManyConnections,
}

impl Cause {
    /// Every cause that there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::TlsOnPlainPort,
            Self::PlainOnTlsPort,
            Self::NotHttp,
            Self::HeadTooLarge,
            Self::BrokenOff,
            Self::TooSlow,
            Self::TooManyConnections,
        ];
        let answered = Refusal::ALL.into_iter().map(Self::Answered);
        answered.chain(TlsFailure::ALL.into_iter().map(Self::Tls)).chain(others)
    }

    /// Whether it tells why a station may not get in. Limits concern everybody, and load balancers close
    /// connections all day to see whether somebody is there.
    pub(super) fn says_something(self) -> bool {
        !matches!(self, Self::TooManyConnections | Self::BrokenOff | Self::Answered(_))
    }

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered(refusal) => refusal.as_str(),
            Self::Tls(failure) => failure.as_str(),
            Self::TlsOnPlainPort => "tls_on_plain_port",
            Self::PlainOnTlsPort => "plain_on_tls_port",
            Self::NotHttp => "not_http",
            Self::HeadTooLarge => "head_too_large",
            Self::BrokenOff => "broken_off",
            Self::TooSlow => "handshake_timeout",
            Self::TooManyConnections => "too_many_connections",
        }
    }

    /// The same for people.
    pub fn words(self) -> Cow<'static, str> {
        let text = match self {
            Self::Answered(refusal) => return refusal.words(),
            Self::Tls(failure) => failure.words(),
            Self::TlsOnPlainPort => {
                "a TLS hello on a plain port: connect with ws://, or to the port that speaks wss://"
            }
            Self::PlainOnTlsPort => "plain HTTP on a TLS port: connect with wss://",
            Self::NotHttp => "not HTTP/1.1",
            Self::HeadTooLarge => "the head of its request is too large",
            Self::BrokenOff => "it has closed the connection before its request was complete",
            Self::TooSlow => "timeout: its handshake took too long",
            Self::TooManyConnections => "too many connections",
        };
        Cow::Borrowed(text)
    }
}

/// A requested path as it may be logged: short, on one line, without control characters for a terminal.
pub(super) fn shown_path(path: &str) -> String {
    let mut shown: String = path.chars().take(PATH_CHARS).flat_map(char::escape_debug).collect();
    if path.chars().nth(PATH_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// How many connections were refused since the start, by cause.
#[derive(Debug, Default)]
pub struct RefusalCounts(Mutex<BTreeMap<Cause, u64>>);

impl RefusalCounts {
    fn count(&self, cause: Cause) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(cause).or_default() += 1;
    }

    /// Every cause with its count.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |cause| counts.get(&cause).copied().unwrap_or(0);
        Cause::all().map(|cause| (cause.as_str(), count(cause))).collect()
    }
}

struct Window {
    began: Timestamp,
    /// Causes that were logged in this window or the one before, with the number of refusals since.
    unreported: BTreeMap<Cause, u64>,
}

/// The refusals of each address in the last minutes.
#[derive(Default)]
pub(super) struct RefusalLog {
    windows: HashMap<Option<IpAddr>, Window>,
}

impl RefusalLog {
    /// Counts a refusal; true if it is to be logged by itself.
    pub(super) fn note(
        &mut self,
        counts: &RefusalCounts,
        now: Timestamp,
        address: IpAddr,
        cause: Cause,
    ) -> bool {
        counts.count(cause);
        let full = self.windows.len() >= MAX_ADDRESSES;
        let key = Some(address).filter(|address| !full || self.windows.contains_key(&Some(*address)));
        let window =
            self.windows.entry(key).or_insert_with(|| Window { began: now, unreported: BTreeMap::new() });
        match window.unreported.get_mut(&cause) {
            Some(unreported) => {
                *unreported += 1;
                false
            }
            None => {
                window.unreported.insert(cause, 0);
                true
            }
        }
    }

    /// The lines to log for windows that are over. A window in which something was folded begins anew, and
    /// folds on.
    pub(super) fn sweep(&mut self, now: Timestamp) -> Vec<Folded> {
        let mut due = Vec::new();
        self.windows.retain(|address, window| {
            if now.since(window.began) < WINDOW {
                return true;
            }
            window.began = now;
            window.unreported.retain(|_, unreported| *unreported > 0);
            if window.unreported.is_empty() {
                return false;
            }
            due.push(Folded { address: *address, causes: window.unreported.clone() });
            window.unreported.values_mut().for_each(|unreported| *unreported = 0);
            true
        });
        due
    }
}

/// Many refusals of one address in one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// `None`: many addresses.
    address: Option<IpAddr>,
    causes: BTreeMap<Cause, u64>,
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count: u64 = self.causes.values().sum();
        write!(f, "{count} more connections from ")?;
        match self.address {
            Some(address) => write!(f, "{address}")?,
            None => f.write_str("further addresses")?,
        }
        f.write_str(" were refused in the last minute")?;
        for (nth, (cause, count)) in self.causes.iter().enumerate() {
            f.write_char(if nth == 0 { ':' } else { ';' })?;
            write!(f, " {count} × {}", cause.words())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const T0: Timestamp = Timestamp::from_unix_ms(0);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_flood_is_told_once_of_each_kind_and_then_once_a_minute() {
        let (counts, mut refusal_log) = (RefusalCounts::default(), RefusalLog::default());
        let expired = Cause::Tls(TlsFailure::CertificateExpired);
        let told: Vec<bool> = [Cause::NotHttp, Cause::NotHttp, expired, Cause::NotHttp, expired]
            .map(|cause| refusal_log.note(&counts, T0, address(1), cause))
            .into();
        assert_eq!(told, [true, false, true, false, false]);
        assert!(refusal_log.note(&counts, T0, address(2), Cause::NotHttp), "an address of its own");
        assert!(refusal_log.sweep(T0.after(Duration::from_secs(59))).is_empty());
        let minute = T0.after(WINDOW);
        let lines: Vec<String> = refusal_log.sweep(minute).iter().map(Folded::to_string).collect();
        assert_eq!(
            lines,
            ["3 more connections from 192.0.2.1 were refused in the last minute: \
              1 × its client certificate has expired; 2 × not HTTP/1.1"]
        );
        assert!(!refusal_log.note(&counts, minute, address(1), Cause::NotHttp), "the flood goes on");
        assert!(refusal_log.note(&counts, minute, address(2), Cause::NotHttp), "it was quiet for a minute");
        let later = minute.after(WINDOW);
        assert_eq!(refusal_log.sweep(later).len(), 1);
        assert!(refusal_log.sweep(later.after(WINDOW)).is_empty());
        assert!(refusal_log.windows.is_empty(), "nothing is kept of who is gone");
        let count = |name| counts.all().into_iter().find(|(own, _)| *own == name).expect("a cause").1;
        assert_eq!((count("not_http"), count("tls_certificate_expired"), count("blocked")), (6, 2, 0));
    }

    #[test]
    fn addresses_beyond_those_that_are_kept_apart_share_a_line() {
        let (counts, mut refusal_log) = (RefusalCounts::default(), RefusalLog::default());
        let addresses =
            (0..MAX_ADDRESSES as u32 + 3).map(|nth| IpAddr::from((0x0a00_0000 + nth).to_be_bytes()));
        let told =
            addresses.filter(|address| refusal_log.note(&counts, T0, *address, Cause::TooSlow)).count();
        assert_eq!((told, refusal_log.windows.len()), (MAX_ADDRESSES + 1, MAX_ADDRESSES + 1));
        let lines = refusal_log.sweep(T0.after(WINDOW));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].to_string().starts_with("2 more connections from further addresses "));
    }

    #[test]
    fn each_cause_has_a_name_of_its_own_and_words() {
        let all: Vec<Cause> = Cause::all().collect();
        let names: HashSet<&str> = all.iter().map(|cause| cause.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|cause| !cause.words().is_empty()));
    }

    #[test]
    fn a_path_cannot_write_a_line_of_its_own() {
        assert_eq!(shown_path("/ocpp/CP\n\u{1b}[2J\u{202e}x"), r"/ocpp/CP\n\u{1b}[2J\u{202e}x");
        assert_eq!(shown_path(&"x".repeat(200)).chars().count(), PATH_CHARS + 1);
    }
}
