//! The oddities that a station is known for, shown as its `flags`, and what ends each of them.

use std::borrow::Cow;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::station_clock;

/// Kinds of oddities remembered per station.
const MAX_FLAGS: usize = 64;

/// The longest name of a field in a flag, in characters: the specification's are shorter.
const FIELD_CHARS_MAX: usize = 40;

/// Its connections replace one another all the time.
pub(crate) const FLAPPING: &str = "flapping";
/// Its clock is more than five minutes off.
const CLOCK_SKEW: &str = "clock_skew";
/// Its clock was not set since it lost its power.
const CLOCK_NEVER_SET: &str = "clock:never_set";
/// It boots again and again, and nobody has asked it to.
pub(crate) const BOOT_LOOP: &str = "boot_loop";
/// Three commands in a row went unanswered.
pub(crate) const UNRESPONSIVE: &str = "unresponsive";

/// What has to happen so that an oddity is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// It connects without it.
    Connection,
    /// Its connection lasts, or is not replaced at once.
    CalmConnection,
    /// Its clock is right.
    ClockRight,
    /// It boots once more.
    NextBoot,
    /// It boots, or stays up, as others do.
    BootsApart,
    /// It answers a command.
    Answer,
    /// It boots with another firmware, which may do better.
    NewFirmware,
}

/// What ends the oddities that are not of a message's form; those last until [`Until::NewFirmware`].
const ENDS: &[(&str, Until)] = &[
    ("missing_subprotocol", Until::Connection),
    ("odd_path", Until::Connection),
    ("identity_in_other_case", Until::Connection),
    ("hex_password", Until::Connection),
    (FLAPPING, Until::CalmConnection),
    (CLOCK_SKEW, Until::ClockRight),
    (CLOCK_NEVER_SET, Until::ClockRight),
    ("before_boot", Until::NextBoot),
    (BOOT_LOOP, Until::BootsApart),
    (UNRESPONSIVE, Until::Answer),
];

fn end_of(flag: &str) -> Until {
    ENDS.iter().find(|(name, _)| *name == flag).map_or(Until::NewFirmware, |(_, end)| *end)
}

/// The flag that a violation leaves: its code, with the field it is about where the code alone says too
/// little. None for what is said of a clock by more than one message.
fn flag_of(violation: &Violation) -> Option<Cow<'_, str>> {
    let code = violation.code();
    let field = violation.field.as_deref().map_or("payload", |path| path.rsplit('.').next().unwrap_or(path));
    let says_what = |code: &str| !matches!(code, "implausible" | "unreadable");
    match (field, code) {
        (_, CLOCK_SKEW) | ("timestamp", "implausible") => None,
        ("csr", _) => Some(Cow::Owned(format!("csr:{code}"))),
        _ if says_what(code) => Some(Cow::Borrowed(code)),
        _ => {
            let known = field.chars().count() <= FIELD_CHARS_MAX && field.chars().all(char::is_alphanumeric);
            Some(Cow::Owned(format!("{}:{code}", if known { field } else { "payload" })))
        }
    }
}

/// The flags that say so of a clock which is ahead by so much.
pub(crate) fn of_clock(skew_ms: i64) -> Option<&'static str> {
    match station_clock::was_never_set(skew_ms) {
        true => Some(CLOCK_NEVER_SET),
        false => station_clock::is_wrong(skew_ms).then_some(CLOCK_SKEW),
    }
}

/// What has changed about a station's oddities.
#[derive(Debug, Default)]
pub(crate) struct Change {
    over: Vec<Until>,
    seen: Vec<String>,
}

impl Change {
    /// Those that last until this are over, unless they are seen again.
    pub(crate) fn over(&mut self, until: Until) {
        self.over.push(until);
    }

    /// This one is seen.
    pub(crate) fn seen(&mut self, flag: impl Into<String>) {
        let flag = flag.into();
        if !self.seen.contains(&flag) {
            self.seen.push(flag);
        }
    }

    /// These were odd about a message.
    pub(crate) fn violations<'a>(&mut self, violations: impl IntoIterator<Item = &'a Violation>) {
        violations.into_iter().filter_map(flag_of).for_each(|flag| self.seen(flag));
    }

    /// Writes what comes of the flags that are `known` so far; nothing if they stay as they are.
    pub(crate) fn write(self, w: &Tx<'_>, id: &StationId, known: &str) -> Result<()> {
        if self.seen.is_empty() && (self.over.is_empty() || known == "[]") {
            return Ok(());
        }
        let before: Vec<String> = serde_json::from_str(known).unwrap_or_default();
        let flags = self.applied_to(&before);
        if flags == before {
            return Ok(());
        }
        w.send(
            "UPDATE stations SET flags = ?2 WHERE station_id = ?1",
            params![id, serde_json::to_string(&flags)?],
        )
    }

    /// The same for a station whose flags nobody has read yet, if it is still there.
    pub(crate) fn write_unread(self, w: &Tx<'_>, id: &StationId) -> Result<()> {
        let known: Option<String> =
            w.maybe("SELECT flags FROM stations WHERE station_id = ?1", params![id], |row| row.get(0))?;
        known.map_or(Ok(()), |known| self.write(w, id, &known))
    }

    fn applied_to(self, before: &[String]) -> Vec<String> {
        let is_over = |flag: &String| self.over.contains(&end_of(flag)) && !self.seen.contains(flag);
        let mut flags: Vec<String> = before.iter().filter(|flag| !is_over(flag)).cloned().collect();
        for flag in self.seen {
            if flags.len() < MAX_FLAGS && !flags.contains(&flag) {
                flags.push(flag);
            }
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_says_what_it_is_about() {
        for (field, problem, flag) in [
            (Some("csr"), "unreadable: not PEM", Some("csr:unreadable")),
            (Some("csr"), "unsupported_key: RSA of 1024 bits", Some("csr:unsupported_key")),
            (Some("meterStop"), "implausible: below meterStart", Some("meterStop:implausible")),
            (Some("meterValue.0.sampledValue.3.unit"), "implausible: V", Some("unit:implausible")),
            (Some("idTag"), "too_long", Some("too_long")),
            (None, "unreadable: the payload cannot be read", Some("payload:unreadable")),
            (Some("no name\u{0}"), "unreadable: read as null", Some("payload:unreadable")),
            (None, "before_boot", Some("before_boot")),
            // Said of the clock, once that is certain.
            (Some("timestamp"), "implausible: a clock that was never set", None),
            (None, "clock_skew: the station's clock is 7200 s ahead", None),
        ] {
            let violation = Violation { field: field.map(str::to_owned), problem: problem.to_owned() };
            assert_eq!(flag_of(&violation).as_deref(), flag, "{violation:?}");
        }
    }

    #[test]
    fn flags_go_when_what_they_tell_is_over() {
        let flags = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let known = flags(&["odd_path", "hex_password", "clock_skew", "before_boot", "too_long"]);
        let after = |over: &[Until], seen: &[&str]| {
            let mut change = Change::default();
            over.iter().for_each(|until| change.over(*until));
            seen.iter().for_each(|flag| change.seen(*flag));
            change.applied_to(&known)
        };
        assert_eq!(after(&[], &["too_long", "empty"]), [known.clone(), flags(&["empty"])].concat());
        assert_eq!(
            after(&[Until::Connection], &["odd_path"]),
            flags(&["odd_path", "clock_skew", "before_boot", "too_long"])
        );
        assert_eq!(
            after(&[Until::ClockRight, Until::NextBoot], &[]),
            flags(&["odd_path", "hex_password", "too_long"])
        );
        let other = after(&[Until::NewFirmware, Until::Answer], &[]);
        assert_eq!(other, known[..4].to_vec());
    }

    #[test]
    fn flags_are_bounded() {
        let mut change = Change::default();
        (0..100).for_each(|nth| change.seen(format!("odd_{nth}")));
        assert_eq!(change.applied_to(&[]).len(), MAX_FLAGS);
    }
}
