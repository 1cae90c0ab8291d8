//! When a delivery is tried again. Pure: chance and time are passed in.

use std::time::Duration;

/// The longest `Retry-After` that is honoured.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 3_600);

/// Retries are made up to this share earlier or later than the schedule says, so that many do not come at
/// once.
pub const JITTER: f64 = 0.1;

/// How long after a failed attempt the next one is due; `None` if there is none left (dead-letter).
///
/// `step` counts the failed attempts of this run of the schedule before this one; `retry_after` is what a
/// 429 or 503 asked for, honoured if it is longer; `jitter` is chance in -1 to 1.
pub fn next_try(
    step: usize,
    schedule: &[Duration],
    retry_after: Option<Duration>,
    jitter: f64,
) -> Option<Duration> {
    let scheduled = schedule.get(step)?.mul_f64(1.0 + JITTER * jitter.clamp(-1.0, 1.0));
    let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_CAP);
    Some(scheduled.max(asked))
}

/// How long a whole run of the schedule takes, attempts not counted.
pub fn total(schedule: &[Duration]) -> Duration {
    schedule.iter().fold(Duration::ZERO, |sum, entry| sum.saturating_add(*entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: [Duration; 3] =
        [Duration::from_secs(30), Duration::from_secs(60), Duration::from_secs(300)];

    #[test]
    fn each_failure_takes_the_next_entry_until_none_is_left() {
        let next = |step| next_try(step, &SCHEDULE, None, 0.0).map(|wait| wait.as_secs());
        assert_eq!((0..5).map(next).collect::<Vec<_>>(), [Some(30), Some(60), Some(300), None, None]);
        assert_eq!(next_try(0, &[], None, 0.0), None, "an empty schedule: one attempt only");
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let with = |jitter| next_try(1, &SCHEDULE, None, jitter).expect("an entry").as_millis();
        assert_eq!([with(-1.0), with(0.5), with(1.0), with(7.0)], [54_000, 63_000, 66_000, 66_000]);
    }

    #[test]
    fn a_receiver_may_ask_for_longer_but_not_for_ever() {
        let asked = |seconds| {
            next_try(0, &SCHEDULE, Some(Duration::from_secs(seconds)), 0.0).expect("an entry").as_secs()
        };
        assert_eq!(asked(120), 120);
        assert_eq!(asked(5), 30, "never earlier than the schedule");
        assert_eq!(asked(365 * 86_400), 86_400);
        assert_eq!(next_try(3, &SCHEDULE, Some(Duration::from_secs(1)), 0.0), None, "asking adds no attempt");
    }

    #[test]
    fn a_schedule_has_a_length() {
        assert_eq!(total(&SCHEDULE), Duration::from_secs(390));
        assert_eq!(total(&[Duration::MAX, Duration::MAX]), Duration::MAX);
    }
}
