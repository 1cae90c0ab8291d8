//! Times, patterns and filters: what they are written as they are read as, and nothing makes them panic.

use proptest::prelude::*;
use serde_json::{Value, json};
use vocabulary::clock::Timestamp;
use vocabulary::event::Category;
use vocabulary::ocpp::time;
use vocabulary::subscription::filter::Filter;
use vocabulary::subscription::pattern::EventPattern;

use super::cases;
use super::odd::any_json;

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

/// Whether `text` fits `pattern`, worked out the slow and obvious way.
fn fits_slowly(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| fits_slowly(rest, &text[taken..])),
        Some((wanted, rest)) => {
            text.split_first().is_some_and(|(first, behind)| first == wanted && fits_slowly(rest, behind))
        }
    }
}

/// Filters that mean something, and anything else.
fn any_filter() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<i32>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        Just(Value::Null)
    ];
    let operator = prop::sample::select(
        &["$in", "$gt", "$gte", "$lt", "$lte", "$exists", "$not", "$or", "$and", "a", "a.b", "b.0"][..],
    );
    scalar.prop_recursive(5, 30, 4, move |inner| {
        let members = prop::collection::vec((operator.clone(), inner.clone()), 0..4);
        prop_oneof![
            3 => members.prop_map(|members| Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

/// No zone, and zones on both sides of UTC and of the year.
const ZONES: &str = "UTC|Nowhere|Asia/Kathmandu|America/St_Johns|Pacific/Kiritimati|Australia/Lord_Howe";

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_moment_reads_back_in_any_zone(ms in 1_262_304_000_000i64..=NOW.unix_ms(), minutes in -14 * 60i64..=14 * 60) {
        let shifted = Timestamp::from_unix_ms(ms + minutes * 60_000).to_string();
        let sign = if minutes < 0 { '-' } else { '+' };
        let local = format!("{}{sign}{:02}:{:02}", shifted.trim_end_matches('Z'), minutes.abs() / 60, minutes.abs() % 60);
        for text in [Timestamp::from_unix_ms(ms).to_string(), local] {
            let read = time::read(&text, NOW, None);
            prop_assert_eq!(read.moment, Some(Timestamp::from_unix_ms(ms)), "{}", text);
            prop_assert_eq!(read.oddity, None, "{}", text);
        }
    }

    #[test]
    fn any_text_is_a_time_or_none(text in ".{0,40}|[0-9T:.,Z+ /-]{0,40}", zone in ZONES) {
        let read = time::read(&text, NOW, zone.parse().ok());
        prop_assert!(read.moment.is_some() || read.oddity.is_some());
    }

    #[test]
    fn stars_stand_for_any_run(pattern in "[ab]{0,3}[*][ab*]{1,4}", text in "[ab]{0,10}") {
        let (letters, wanted): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
        let parsed: EventPattern = pattern.parse().expect("a pattern");
        prop_assert_eq!(parsed.fits(&text, Category::Custom), fits_slowly(&wanted, &letters));
        prop_assert_eq!(parsed.to_string(), pattern);
    }

    #[test]
    fn a_filter_or_its_negation_fits(filter in any_filter(), payload in any_filter()) {
        let Ok(plain) = Filter::parse(&filter) else { return Ok(()) };
        if let Ok(negated) = Filter::parse(&json!({"$not": filter})) {
            prop_assert_ne!(plain.fits(&payload), negated.fits(&payload));
        }
        let all = Filter::parse(&json!({"$and": [filter, filter]}));
        prop_assert!(all.is_err() || all.is_ok_and(|all| all.fits(&payload) == plain.fits(&payload)));
    }

    #[test]
    fn any_json_is_a_filter_or_named_as_none(json in any_json(), payload in any_json()) {
        let (Ok(json), Ok(payload)) = (serde_json::from_str::<Value>(&json), serde_json::from_str::<Value>(&payload)) else {
            return Ok(());
        };
        match Filter::parse(&json) {
            Ok(filter) => { filter.fits(&payload); }
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }
}
