//! An answer while it is put together, and the words that all of them share.

use std::time::Duration;

use vocabulary::api::command::Command;
use vocabulary::api::transaction::Transaction;
use vocabulary::api::why::{Fact, FactKind, Verdict, Why};
use vocabulary::clock::Timestamp;

/// Facts of an answer, at most: the newest ones count.
const FACTS_MAX: usize = 30;

/// Characters of a text that a charger has chosen, as a sentence quotes it.
const QUOTED_CHARS: usize = 120;

/// An answer while it is put together.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    why: Why,
}

impl Answer {
    pub(crate) fn new(verdict: Verdict, summary: impl Into<String>) -> Self {
        Self { why: Why { verdict, summary: summary.into(), facts: Vec::new(), next: Vec::new() } }
    }

    /// Adds a fact, if there is one.
    pub(crate) fn fact(mut self, fact: impl Into<Option<Fact>>) -> Self {
        self.why.facts.extend(fact.into());
        self
    }

    /// Adds facts.
    pub(crate) fn facts(mut self, facts: impl IntoIterator<Item = Fact>) -> Self {
        self.why.facts.extend(facts);
        self
    }

    /// Adds what can be done.
    pub(crate) fn next(mut self, what: impl Into<String>) -> Self {
        self.why.next.push(what.into());
        self
    }

    /// The answer, its facts in the order in which they happened.
    pub(crate) fn into_why(self) -> Why {
        let mut why = self.why;
        why.facts.sort_by_key(|fact| fact.at);
        why.facts.dedup();
        let surplus = why.facts.len().saturating_sub(FACTS_MAX);
        why.facts.drain(..surplus);
        why
    }
}

/// A fact that is taken from what is on record of a thing as it is now.
pub(crate) fn state(at: Timestamp, text: impl Into<String>) -> Fact {
    Fact { at, text: text.into(), kind: FactKind::State, id: None }
}

/// A fact about a command.
pub(crate) fn of_command(command: &Command, at: Timestamp, text: impl Into<String>) -> Fact {
    Fact { at, text: text.into(), kind: FactKind::Command, id: Some(command.id.to_string()) }
}

/// A fact about a session.
pub(crate) fn of_session(session: &Transaction, at: Timestamp, text: impl Into<String>) -> Fact {
    Fact { at, text: text.into(), kind: FactKind::Transaction, id: Some(session.transaction_id.to_string()) }
}

/// A moment in a sentence, in UTC: without the date if it is today's.
pub(crate) fn at(moment: Timestamp, now: Timestamp) -> String {
    let (moment, now) = (moment.to_string(), now.to_string());
    match (moment.get(..10), moment.get(11..19)) {
        (Some(day), Some(time)) if now.starts_with(day) => time.to_owned(),
        (Some(day), Some(time)) => format!("{day} {time}"),
        _ => moment,
    }
}

/// How long something took, as people say it.
pub(crate) fn span(duration: Duration) -> String {
    let s = duration.as_secs();
    match (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, _) if s == 0 => "less than a second".to_owned(),
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) if m < 5 && s > 0 => format!("{m} min {s} s"),
        (0, 0, m, _) => format!("{m} min"),
        (0, h, 0, _) => format!("{h} h"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (1, 0, _, _) => "1 day".to_owned(),
        (1, h, _, _) => format!("1 day {h} h"),
        (d, _, _, _) => format!("{d} days"),
    }
}

/// How long ago a moment is.
pub(crate) fn ago(moment: Timestamp, now: Timestamp) -> String {
    span(now.since(moment))
}

/// `1 time`, `3 times`.
pub(crate) fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// A text that a stranger has chosen, as a sentence quotes it: short and on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().filter(|letter| !letter.is_control()).take(QUOTED_CHARS).collect();
    if text.chars().nth(QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// An energy in a sentence, rounded to 10 Wh as the dashboard rounds it.
pub(crate) fn kwh(wh: i64) -> String {
    match wh.unsigned_abs() {
        ..1_000 => format!("{wh} Wh"),
        size => {
            let (sign, hundredths) = (if wh < 0 { "-" } else { "" }, size.saturating_add(5) / 10);
            format!("{sign}{}.{:02} kWh", hundredths / 100, hundredths % 100)
        }
    }
}

/// A power in a sentence.
pub(crate) fn kw(w: i64) -> String {
    if w.abs() < 1_000 { format!("{w} W") } else { format!("{:.1} kW", w as f64 / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments_are_told_as_people_say_them() {
        for (s, said) in [
            (0, "less than a second"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (600, "10 min"),
            (3_600, "1 h"),
            (7_500, "2 h 5 min"),
            (86_400, "1 day"),
            (100_000, "1 day 3 h"),
            (300_000, "3 days"),
        ] {
            assert_eq!(span(Duration::from_secs(s)), said);
        }
        let now: Timestamp = "2026-04-14T12:34:56.789Z".parse().expect("a moment");
        assert_eq!(at(now, now), "12:34:56");
        assert_eq!(at(now.before(Duration::from_secs(86_400)), now), "2026-04-13 12:34:56");
        assert_eq!(
            [999, -999, 1_000, 5_385, -12_344, -12_345, i64::MIN].map(kwh),
            [
                "999 Wh",
                "-999 Wh",
                "1.00 kWh",
                "5.39 kWh",
                "-12.34 kWh",
                "-12.35 kWh",
                "-9223372036854775.81 kWh"
            ]
        );
        assert_eq!((kw(350), kw(10_284)), ("350 W".into(), "10.3 kW".into()));
        assert_eq!(quoted("a\u{1b}[2J\nb"), "a[2Jb");
    }
}
