//! The form that closes a session whose stop never came.

use maud::{Markup, html};

use crate::ui::components::action;
use crate::ui::components::fields::Fields;
use crate::ui::form::Form;
use vocabulary::api::problem::FieldError;
use vocabulary::api::transaction::CloseInput;
use vocabulary::clock::Timestamp;
use vocabulary::units::moment;

/// What the form says of the stop.
///
/// # Errors
/// What cannot be read.
pub(super) fn input(form: &Form, now: Timestamp) -> Result<CloseInput, Vec<FieldError>> {
    let mut errors = Vec::new();
    let stopped_at = form.get("stopped_at").and_then(|text| {
        let read = moment(text, now);
        if read.is_none() {
            errors.push(FieldError::new("stopped_at", "is no time, such as 2026-04-14T10:02:11Z or 20m"));
        }
        read
    });
    let meter_stop = form.get("meter_stop").and_then(|text| {
        text.parse()
            .map_err(|_| errors.push(FieldError::new("meter_stop", "must be a whole number of Wh")))
            .ok()
    });
    let reason = form.get("reason").map(str::to_owned);
    if errors.is_empty() { Ok(CloseInput { stopped_at, meter_stop, reason }) } else { Err(errors) }
}

/// The form, which is open if something is wrong with it.
pub(super) fn form(token: &str, path: &str, fields: &Fields<'_>, is_wrong: bool) -> Markup {
    html! {
        details.confirm open[is_wrong] {
            summary.button { "Close…" }
            form method="post" action={ (path) "/close" } {
                (action::hidden(token, &[]))
                p {
                    "For a session whose stop never came. The charger gets no message; "
                    code { "TransactionCompleted" } " is sent, and is corrected if the stop comes after all."
                }
                (fields.others(&["stopped_at", "meter_stop", "reason"]))
                (fields.text("stopped_at", "Ended at", "Such as 2026-04-14T10:02:11Z, or 20m ago as 20m; empty is now"))
                (fields.text("meter_stop", "Meter at the stop, in Wh", "Empty: the last meter value tells"))
                (fields.text("reason", "Reason", "Such as PowerLoss, or words of your own"))
                button.danger { "Close the session" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_says_of_a_stop_is_read() {
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        let said = input(&Form::parse("stopped_at=20m&meter_stop=4200&reason="), now).expect("an input");
        assert_eq!(said.stopped_at, "2026-04-14T11:40:00Z".parse().ok());
        assert_eq!((said.meter_stop, said.reason), (Some(4_200), None));
        let errors = input(&Form::parse("stopped_at=noon&meter_stop=4,2"), now).expect_err("nonsense");
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["stopped_at", "meter_stop"]);
    }
}
