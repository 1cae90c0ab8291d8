//! Verdicts on id tags.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::lookup_key::lookup_key;
use crate::setting::setting_words;
use crate::words::words;

/// The verdict on an id tag, spelled as in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AuthorizationStatus {
    /// May charge.
    Accepted,
    /// Known, and not allowed to charge.
    Blocked,
    /// Known, past its date.
    Expired,
    /// Unknown.
    Invalid,
    /// Charging elsewhere already, as often as it may.
    ConcurrentTx,
}

/// A text that is no authorisation status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an authorisation status: Accepted, Blocked, Expired, Invalid or ConcurrentTx")]
pub struct UnknownAuthorizationStatus;

impl AuthorizationStatus {
    /// Every status, in the order of the reference.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Blocked, Self::Expired, Self::Invalid, Self::ConcurrentTx];

    /// The status as it is spelled in a frame.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Blocked => "Blocked",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
            Self::ConcurrentTx => "ConcurrentTx",
        }
    }
}

impl fmt::Display for AuthorizationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AuthorizationStatus {
    type Err = UnknownAuthorizationStatus;

    fn from_str(text: &str) -> Result<Self, UnknownAuthorizationStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownAuthorizationStatus)
    }
}

words! {
    /// Why an id tag was refused.
    pub enum IdTagReason {
        /// Nobody registered it, and unknown tags may not charge.
        Unknown = "unknown",
        /// It is registered as blocked.
        Blocked = "blocked",
        /// It is past its date, or registered as expired.
        Expired = "expired",
        /// It is registered as invalid; or its station was not accepted, where no tag is good.
        Invalid = "invalid",
        /// It is registered with another owner than its station's.
        OtherOwner = "other_owner",
        /// It is charging elsewhere, as often as it may.
        Concurrent = "concurrent",
        /// The operator's endpoint said no.
        Endpoint = "endpoint",
        /// The operator's endpoint gave no answer, and nothing else is known of the tag.
        EndpointUnreachable = "endpoint_unreachable",
    }
}

/// What a charger is told about an id tag, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagVerdict {
    /// What it is told.
    pub info: IdTagInfo,
    /// Why the tag is refused; `None` if it is accepted.
    pub reason: Option<IdTagReason>,
}

impl TagVerdict {
    /// `info`, which is for `reason` if it refuses.
    pub fn of(info: IdTagInfo, reason: IdTagReason) -> Self {
        let reason = (info.status != AuthorizationStatus::Accepted).then_some(reason);
        Self { info, reason }
    }
}

/// What a charger is told about an id tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdTagInfo {
    /// The verdict.
    pub status: AuthorizationStatus,
    /// Until when the charger may remember it.
    pub expiry_date: Option<Timestamp>,
    /// The group the tag belongs to, whose other tags may end its transaction.
    pub parent_id_tag: Option<String>,
}

impl IdTagInfo {
    /// A verdict and nothing else.
    pub fn bare(status: AuthorizationStatus) -> Self {
        Self { status, expiry_date: None, parent_id_tag: None }
    }
}

/// An id tag as it was registered through the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredTag {
    /// `Accepted`, `Blocked`, `Expired` or `Invalid`; `ConcurrentTx` is never registered.
    pub status: AuthorizationStatus,
    /// When it stops being good; may be past.
    pub expiry_date: Option<Timestamp>,
    /// The group it belongs to.
    pub parent_id_tag: Option<String>,
    /// In how many transactions it may be at once; no limit without.
    pub max_active_transactions: Option<u32>,
}

/// What becomes of an id tag that nobody registered (`authorization.unknown_id_tag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownIdTag {
    /// It may charge.
    Accept,
    /// It is `Invalid`.
    Invalid,
}

setting_words!(UnknownIdTag: "accept" => UnknownIdTag::Accept, "invalid" => UnknownIdTag::Invalid);

/// The longest id tag of the specification, in characters.
pub const ID_TAG_CHARS_MAX: usize = 20;

/// What an id tag is compared by, wherever two are compared: letter case does not matter, nor do blanks,
/// control characters and unreadable bytes around it, nor anything behind a NUL, which ends a text in most
/// firmware (quirk Q10). A very long tag has a shorter key ([`lookup_key`]).
pub fn id_tag_key(id_tag: &str) -> String {
    let is_stray = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '\u{feff}' | '\u{fffd}');
    let trimmed = id_tag.trim_matches(is_stray);
    let ended = trimmed.split('\0').next().unwrap_or_default();
    lookup_key(ended.trim_end_matches(is_stray).to_lowercase())
}

/// Whether these are one tag: the same by their keys, or one is the other with something added beyond the
/// limit. What is blank is no tag.
pub fn is_same_id_tag(one: &str, other: &str) -> bool {
    let (one_key, other_key) = (id_tag_key(one), id_tag_key(other));
    let extends = |long: &str, key: &str| shortened_id_tag_key(long).is_some_and(|short| short == key);
    !one_key.is_empty() && (one_key == other_key || extends(one, &other_key) || extends(other, &one_key))
}

/// What a tag over the limit is looked up by if its own key finds nothing: its first 20 characters, to
/// be taken only if one registered tag has that key (quirk Q10). `None` for a tag within the limit.
pub fn shortened_id_tag_key(id_tag: &str) -> Option<String> {
    let key = id_tag_key(id_tag);
    let (end, _) = key.char_indices().nth(ID_TAG_CHARS_MAX)?;
    Some(id_tag_key(&key[..end]))
}

/// The verdict on a tag that is charging in `active_transactions` other transactions at `now`.
///
/// A retried `StartTransaction` must not count the transaction it is about, or the retry would be
/// refused for its own sake. Nor does one count that does not charge: an orphan, or a start that was refused.
pub fn verdict(
    tag: Option<&RegisteredTag>,
    active_transactions: u32,
    unknown: UnknownIdTag,
    now: Timestamp,
) -> TagVerdict {
    let Some(tag) = tag else {
        let status = match unknown {
            UnknownIdTag::Accept => AuthorizationStatus::Accepted,
            UnknownIdTag::Invalid => AuthorizationStatus::Invalid,
        };
        return TagVerdict::of(IdTagInfo::bare(status), IdTagReason::Unknown);
    };
    let expired = tag.expiry_date.is_some_and(|expiry| expiry <= now);
    let exhausted = tag.max_active_transactions.is_some_and(|max| active_transactions >= max);
    let status = match tag.status {
        AuthorizationStatus::Accepted if expired => AuthorizationStatus::Expired,
        AuthorizationStatus::Accepted if exhausted => AuthorizationStatus::ConcurrentTx,
        registered => registered,
    };
    let reason = match status {
        AuthorizationStatus::Blocked => IdTagReason::Blocked,
        AuthorizationStatus::Expired => IdTagReason::Expired,
        AuthorizationStatus::ConcurrentTx => IdTagReason::Concurrent,
        AuthorizationStatus::Accepted | AuthorizationStatus::Invalid => IdTagReason::Invalid,
    };
    let info = IdTagInfo { status, expiry_date: tag.expiry_date, parent_id_tag: tag.parent_id_tag.clone() };
    TagVerdict::of(info, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);
    const LATER: Timestamp = Timestamp::from_unix_ms(1_776_170_096_790);

    fn tag(status: AuthorizationStatus, expiry_date: Option<Timestamp>, max: Option<u32>) -> RegisteredTag {
        RegisteredTag {
            status,
            expiry_date,
            parent_id_tag: Some("FLEET".to_owned()),
            max_active_transactions: max,
        }
    }

    #[test]
    fn a_registered_tag_is_judged_by_status_then_date_then_use() {
        use AuthorizationStatus::{Accepted, Blocked, ConcurrentTx, Expired, Invalid};
        for (registered, expiry, max, active, expected, reason) in [
            (Accepted, None, None, 7, Accepted, None),
            (Accepted, Some(LATER), Some(2), 1, Accepted, None),
            (Accepted, Some(NOW), None, 0, Expired, Some("expired")),
            (Accepted, None, Some(1), 1, ConcurrentTx, Some("concurrent")),
            (Accepted, None, Some(0), 0, ConcurrentTx, Some("concurrent")),
            (Accepted, Some(NOW), Some(1), 1, Expired, Some("expired")),
            (Blocked, Some(NOW), Some(1), 1, Blocked, Some("blocked")),
            (Expired, None, None, 0, Expired, Some("expired")),
            (Invalid, None, None, 0, Invalid, Some("invalid")),
        ] {
            let told = verdict(Some(&tag(registered, expiry, max)), active, UnknownIdTag::Accept, NOW);
            assert_eq!(told.info.status, expected, "{registered} {expiry:?} {max:?} {active}");
            assert_eq!(told.reason.map(IdTagReason::as_str), reason);
            assert_eq!(told.info.parent_id_tag.as_deref(), Some("FLEET"));
        }
    }

    #[test]
    fn tags_are_the_same_whatever_stands_around_them() {
        for (one, other, same) in [
            ("TAG", "tag", true),
            ("TAG", "\u{2}TAG \r\n", true),
            ("TAG\0", "TAG\0x\u{7f}", true),
            ("TAG", "TAG\u{fffd}", true),
            ("TAG", "TAG2", false),
            ("T AG", "TAG", false),
            ("", "", false),
            ("\0", " ", false),
            ("12345678901234567890", "12345678901234567890X\u{1}", true),
            ("12345678901234567890Y", "12345678901234567890X", false),
            ("1234567890123456789", "12345678901234567890X", false),
        ] {
            assert_eq!(is_same_id_tag(one, other), same, "{one:?} and {other:?}");
            assert_eq!(is_same_id_tag(other, one), same, "{other:?} and {one:?}");
        }
    }

    #[test]
    fn tags_are_looked_up_without_case_and_stray_bytes() {
        assert_eq!(id_tag_key("04A1b2 \r\0"), "04a1b2");
        assert_eq!(shortened_id_tag_key("04A1B2"), None);
        assert_eq!(
            shortened_id_tag_key("12345678901234567890\u{1}"),
            None,
            "a stray byte is not a character"
        );
        assert_eq!(shortened_id_tag_key("1234567890123456789AXY").as_deref(), Some("1234567890123456789a"));
    }

    #[test]
    fn an_unknown_tag_is_judged_by_the_policy() {
        let told = |unknown| verdict(None, 0, unknown, NOW);
        let expected = |status, reason| TagVerdict { info: IdTagInfo::bare(status), reason };
        assert_eq!(told(UnknownIdTag::Accept), expected(AuthorizationStatus::Accepted, None));
        let unknown = Some(IdTagReason::Unknown);
        assert_eq!(told(UnknownIdTag::Invalid), expected(AuthorizationStatus::Invalid, unknown));
    }
}
