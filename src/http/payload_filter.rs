//! The parameter `filter` of lists: conditions on payloads, in the language of webhooks.

use serde_json::Value;

use vocabulary::api::problem::FieldError;
use vocabulary::subscription::Filter;

/// The parameter's name.
const FILTER: &str = "filter";

/// Adds an error for each wrong place of the filter in `given`.
pub(super) fn wrong_filter(given: &Value, errors: &mut Vec<FieldError>) {
    let Some(text) = given[FILTER].as_str() else { return };
    let Ok(json) = serde_json::from_str::<Value>(text) else {
        errors.push(FieldError::new(FILTER, "must be JSON, such as {\"connectorId\": 1}"));
        return;
    };
    for problem in Filter::parse(&json).err().into_iter().flatten() {
        let words = match problem.path.as_str() {
            "" => problem.message,
            _ => problem.to_string(),
        };
        errors.push(FieldError::new(FILTER, words));
    }
}

/// The filter; `None` for what [`wrong_filter`] has refused.
pub(super) fn compiled(text: &str) -> Option<Filter> {
    Filter::parse(&serde_json::from_str(text).ok()?).ok()
}
