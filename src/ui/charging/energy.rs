//! What a session came to, the same wherever it is shown.

use maud::{Markup, html};

use crate::ui::components::units;
use vocabulary::api::transaction::{EnergyQuality, Status, Transaction};

/// What it has charged so far, or came to: `≈` of an estimate, struck through what nobody should bill.
pub(in crate::ui) fn energy(session: &Transaction) -> Markup {
    let dash = html! { span.muted { "–" } };
    if session.status == Status::Active {
        return session.energy_so_far_wh.map_or(dash, |wh| html! { (units::energy(wh)) });
    }
    let is_implausible = session.energy_quality == EnergyQuality::Implausible;
    match (session.energy_wh, session.energy_estimated_wh) {
        (Some(wh), _) if is_implausible => html! {
            s.muted title="implausible: not to be billed" { (units::energy(wh)) }
            span.sr { " implausible, not to be billed" }
        },
        (Some(wh), _) => html! { (units::energy(wh)) },
        (None, Some(wh)) => html! { "≈ " (units::energy(wh)) },
        (None, None) => dash,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::charging::sample;

    #[test]
    fn what_nobody_should_bill_is_struck_through() {
        let shown = |fields| energy(&sample::session(&fields)).into_string();
        let odd = json!({"status": "completed", "energy_wh": 99_990_000, "energy_quality": "implausible"});
        assert!(shown(odd).contains(">99.99 MWh</s>"));
        let metered = json!({"status": "completed", "energy_wh": 8_000, "energy_quality": "metered"});
        assert_eq!(shown(metered), "8.00 kWh");
    }
}
