//! Lists that are narrowed by event types or patterns (`event=Start*`).

use serde_json::Value;

use vocabulary::api::problem::FieldError;
use vocabulary::subscription::EventPattern;

/// The patterns of a list, as [`wrong_patterns`] has let them pass.
pub(super) fn patterns(texts: &[String]) -> Vec<EventPattern> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Adds what is wrong with the event patterns of a list.
pub(super) fn wrong_patterns(given: &Value, errors: &mut Vec<FieldError>) {
    for text in given["event"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if let Err(error) = EventPattern::asked(text) {
            errors.push(FieldError::new("event", error.to_string()));
        }
    }
}
