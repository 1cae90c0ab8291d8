//! One charging profile: what it says, and what it allows at a given moment.

use std::time::Duration;

use serde_json::Value;

use vocabulary::clock::Timestamp;

/// Nominal voltage between a phase and neutral, V: how A become W.
const PHASE_V: f64 = 230.0;
/// `numberPhases` where a period says nothing (OCPP 1.6, 7.8).
const PHASES: i64 = 3;

/// What a profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    ChargePointMax,
    TxDefault,
    Tx,
}

impl Purpose {
    pub(super) fn read(text: &str) -> Option<Self> {
        match text {
            "ChargePointMaxProfile" => Some(Self::ChargePointMax),
            "TxDefaultProfile" => Some(Self::TxDefault),
            "TxProfile" => Some(Self::Tx),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Absolute,
    Relative,
    /// Begins anew after so long.
    Recurring(Duration),
}

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Ampere,
    Watt,
}

impl Unit {
    pub(super) fn read(text: &str) -> Option<Self> {
        match text {
            "A" => Some(Self::Ampere),
            "W" => Some(Self::Watt),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Period {
    start: Duration,
    limit: Limit,
}

/// The most that may flow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub watts: f64,
    pub phases: i64,
}

impl Limit {
    /// The limit as a number of `unit`; amperes are per phase.
    pub(super) fn in_unit(self, unit: Unit) -> f64 {
        match unit {
            Unit::Watt => self.watts,
            Unit::Ampere => self.watts / PHASE_V / self.phases as f64,
        }
    }

    /// The lower one of two.
    pub(super) fn or_lower(self, other: Self) -> Self {
        if other.watts < self.watts { other } else { self }
    }
}

/// A profile that was set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    pub id: i64,
    pub stack_level: i64,
    pub purpose: Purpose,
    pub transaction_id: Option<i64>,
    kind: Kind,
    valid_from: Option<Timestamp>,
    valid_to: Option<Timestamp>,
    start: Option<Timestamp>,
    duration: Option<Duration>,
    periods: Vec<Period>,
}

/// What a profile says about a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Word {
    /// `None`: nothing; another profile may.
    pub limit: Option<Limit>,
    /// When it says something else.
    pub until: Option<Timestamp>,
}

/// Why a profile cannot be taken; `SetChargingProfile` answers `Rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable;

impl Profile {
    /// Reads a `ChargingProfile` that keeps to the schema.
    ///
    /// # Errors
    /// If its parts contradict one another.
    pub(super) fn read(json: &Value) -> Result<Self, Unusable> {
        let time = |value: &Value| match value {
            Value::Null => Ok(None),
            value => value.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or(Unusable),
        };
        let schedule = &json["chargingSchedule"];
        let start: Option<Timestamp> = time(&schedule["startSchedule"])?;
        let kind = match (json["chargingProfileKind"].as_str(), json["recurrencyKind"].as_str()) {
            (Some("Absolute"), None) => Kind::Absolute,
            (Some("Relative"), None) if start.is_none() => Kind::Relative,
            (Some("Recurring"), Some("Daily")) if start.is_some() => Kind::Recurring(days(1)),
            (Some("Recurring"), Some("Weekly")) if start.is_some() => Kind::Recurring(days(7)),
            _ => return Err(Unusable),
        };
        let unit = schedule["chargingRateUnit"].as_str().and_then(Unit::read).ok_or(Unusable)?;
        let mut periods = Vec::new();
        for period in schedule["chargingSchedulePeriod"].as_array().ok_or(Unusable)? {
            let phases = whole(&period["numberPhases"]).unwrap_or(PHASES).clamp(1, 3);
            let number = period["limit"].as_f64().filter(|limit| *limit >= 0.0).ok_or(Unusable)?;
            let watts = match unit {
                Unit::Watt => number,
                Unit::Ampere => number * PHASE_V * phases as f64,
            };
            periods.push(Period { start: seconds(&period["startPeriod"])?, limit: Limit { watts, phases } });
        }
        let rising = periods.windows(2).all(|pair| pair[0].start < pair[1].start);
        if !rising || periods.first().is_none_or(|first| !first.start.is_zero()) {
            return Err(Unusable);
        }
        let duration = match &schedule["duration"] {
            Value::Null => None,
            value => Some(seconds(value)?),
        };
        Ok(Self {
            id: whole(&json["chargingProfileId"]).ok_or(Unusable)?,
            stack_level: whole(&json["stackLevel"]).filter(|level| *level >= 0).ok_or(Unusable)?,
            purpose: json["chargingProfilePurpose"].as_str().and_then(Purpose::read).ok_or(Unusable)?,
            transaction_id: whole(&json["transactionId"]),
            kind,
            valid_from: time(&json["validFrom"])?,
            valid_to: time(&json["validTo"])?,
            start,
            duration,
            periods,
        })
    }

    pub(super) fn period_count(&self) -> usize {
        self.periods.len()
    }

    /// What it says about `at`, in a session that began at `began`.
    pub(super) fn at(&self, at: Timestamp, began: Timestamp) -> Word {
        if let Some(from) = self.valid_from.filter(|from| at < *from) {
            return Word { limit: None, until: Some(from) };
        }
        if self.valid_to.is_some_and(|to| at >= to) {
            return Word { limit: None, until: None };
        }
        let word = self.scheduled(at, began);
        Word { limit: word.limit, until: word.until.into_iter().chain(self.valid_to).min() }
    }

    fn scheduled(&self, at: Timestamp, began: Timestamp) -> Word {
        let first = self.start.unwrap_or(began);
        if at < first {
            return Word { limit: None, until: Some(first) };
        }
        let (start, again) = match self.kind {
            Kind::Absolute | Kind::Relative => (first, None),
            Kind::Recurring(every) => {
                let rounds = at.since(first).as_millis() / every.as_millis();
                let start = first.after(every.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)));
                (start, Some(start.after(every)))
            }
        };
        let elapsed = at.since(start);
        let end = self.duration.map(|duration| start.after(duration));
        if end.is_some_and(|end| at >= end) {
            return Word { limit: None, until: again };
        }
        let current = self.periods.iter().rfind(|period| period.start <= elapsed);
        let next = self.periods.iter().find(|period| period.start > elapsed);
        let until = next.map(|period| start.after(period.start)).into_iter().chain(end).chain(again).min();
        Word { limit: current.map(|period| period.limit), until }
    }
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 86_400)
}

fn seconds(value: &Value) -> Result<Duration, Unusable> {
    let seconds = whole(value).and_then(|seconds| u64::try_from(seconds).ok()).ok_or(Unusable)?;
    Ok(Duration::from_secs(seconds))
}

/// A whole number, written `5` or `5.0`.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(change: impl FnOnce(&mut Value)) -> Result<Profile, Unusable> {
        let mut json = json!({
            "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [
                {"startPeriod": 0, "limit": 16}, {"startPeriod": 60, "limit": 10.5, "numberPhases": 1},
            ]},
        });
        change(&mut json);
        Profile::read(&json)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_800_000_000_000 + seconds * 1_000)
    }

    /// The limit in W (−1: none) and the seconds until it changes (−1: never).
    fn word(profile: &Profile, second: i64) -> (i64, i64) {
        let word = profile.at(at(second), at(0));
        let until = word.until.map(|until| (until.unix_ms() - at(0).unix_ms()) / 1_000);
        (word.limit.map_or(-1, |limit| limit.watts as i64), until.unwrap_or(-1))
    }

    #[test]
    fn a_relative_profile_counts_from_the_session() {
        let profile = profile(|_| {}).expect("usable");
        assert_eq!(word(&profile, 0), (11_040, 60));
        assert_eq!(word(&profile, 59), (11_040, 60));
        assert_eq!(word(&profile, 60), (2_415, -1));
    }

    #[test]
    fn an_absolute_profile_counts_from_its_own_start_and_ends() {
        let profile = profile(|json| {
            json["chargingProfileKind"] = "Absolute".into();
            json["chargingSchedule"]["startSchedule"] = at(100).to_string().into();
            json["chargingSchedule"]["duration"] = 90.into();
            json["validTo"] = at(170).to_string().into();
        })
        .expect("usable");
        let expected = [(0, -1, 100), (100, 11_040, 160), (160, 2_415, 170), (170, -1, -1)];
        for (second, watts, until) in expected {
            assert_eq!(word(&profile, second), (watts, until), "at {second}");
        }
    }

    #[test]
    fn a_recurring_profile_comes_back_every_day() {
        let profile = profile(|json| {
            json["chargingProfileKind"] = "Recurring".into();
            json["recurrencyKind"] = "Daily".into();
            json["chargingSchedule"]["startSchedule"] = at(0).to_string().into();
            json["chargingSchedule"]["duration"] = 120.into();
        })
        .expect("usable");
        let day = 86_400;
        for (second, watts, until) in [
            (0, 11_040, 60),
            (120, -1, day),
            (3 * day + 30, 11_040, 3 * day + 60),
            (3 * day + 60, 2_415, 3 * day + 120),
        ] {
            assert_eq!(word(&profile, second), (watts, until), "at {second}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let schedule = "chargingSchedule";
        let broken: [fn(&mut Value); 6] = [
            |json| json["chargingSchedule"]["chargingSchedulePeriod"][0]["startPeriod"] = 5.into(),
            |json| json["chargingSchedule"]["chargingSchedulePeriod"][1]["startPeriod"] = 0.into(),
            |json| json["chargingSchedule"]["startSchedule"] = "2026-01-01T00:00:00Z".into(),
            |json| json["chargingProfileKind"] = "Recurring".into(),
            |json| json["recurrencyKind"] = "Daily".into(),
            |json| json["stackLevel"] = (-1).into(),
        ];
        for (index, change) in broken.into_iter().enumerate() {
            assert_eq!(profile(change), Err(Unusable), "{schedule} {index}");
        }
    }
}
