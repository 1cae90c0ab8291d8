//! What a session came to: its curves and its figures.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use super::look::View;
use crate::ui::charging::energy;
use crate::ui::charging::readings::Readings;
use crate::ui::components::curve::{Curve, Line, curves};
use crate::ui::components::{card, chip, empty, table, time, units};
use vocabulary::api::transaction::{EnergyQuality, Status, Transaction};
use vocabulary::clock::Timestamp;

/// How many moments the table of meter values shows.
const VALUES_SHOWN: usize = 60;

/// Its curves.
pub(super) fn curves_of(view: &View, now: Timestamp) -> Markup {
    let View { session, readings, .. } = view;
    let Some((first, last)) = readings.bounds() else {
        return empty::empty(
            "The charger has sent no meter values.",
            html! { "Its configuration key " code { "MeterValueSampleInterval" } " says how often it does." },
        );
    };
    let begin = session.started_at.map_or(first, |began| began.min(first));
    let end = match session.status {
        Status::Active => now.max(last),
        Status::Completed => session.stopped_at.map_or(last, |ended| ended.max(last)),
    };
    let power = if readings.power_is_derived { "Power, told from the energy" } else { "Power" };
    let all = [
        Curve { name: power, line: Line::Main, points: &readings.power, top: None, write: units::power },
        Curve { name: "Energy", line: Line::Second, points: &readings.energy, top: None, write: rounded },
        Curve {
            name: "State of charge",
            line: Line::Dashed,
            points: &readings.soc,
            top: Some(100.0),
            write: percent,
        },
    ];
    let shown: Vec<Curve<'_>> = all.into_iter().filter(|curve| !curve.points.is_empty()).collect();
    html! {
        (curves(&label(readings), begin, end, &shown))
        (values(readings, now))
        @if view.is_cut { p.muted { "More was metered than is drawn here; the CSV has all of it." } }
    }
}

/// The newest points of the curves as a table.
fn values(readings: &Readings, now: Timestamp) -> Markup {
    let mut moments: BTreeMap<Timestamp, [Option<f64>; 3]> = BTreeMap::new();
    for (column, points) in [&readings.power, &readings.energy, &readings.soc].into_iter().enumerate() {
        for (at, value) in points {
            moments.entry(*at).or_default()[column] = Some(*value);
        }
    }
    let written = |value: Option<f64>, write: fn(f64) -> String| {
        html! { @match value { Some(value) => (write(value)), None => span.muted { "–" } } }
    };
    let columns = [
        table::text("Time"),
        table::number("Power"),
        table::number("Energy"),
        table::number("State of charge"),
    ];
    let rows = moments.iter().rev().take(VALUES_SHOWN).map(|(at, [power, energy, soc])| {
        [
            time::clock(*at, now),
            written(*power, units::power),
            written(*energy, rounded),
            written(*soc, percent),
        ]
    });
    html! {
        details.more data-key="values" {
            summary { "Meter values as a table" }
            (table::table("Meter values, the newest first", columns, rows))
            @if moments.len() > VALUES_SHOWN { p.muted { "These are the newest; the CSV has all of them." } }
        }
    }
}

/// The curves in words.
fn label(readings: &Readings) -> String {
    let last = |points: &[(Timestamp, f64)]| points.last().map(|(_, value)| *value);
    let most = readings.power.iter().map(|(_, watts)| *watts).reduce(f64::max);
    let parts = [
        most.map(|watts| format!("power up to {}", units::power(watts))),
        last(&readings.energy).map(|wh| format!("energy up to {}", rounded(wh))),
        last(&readings.soc).map(|value| format!("state of charge up to {}", percent(value))),
    ];
    format!("Over the session: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

#[expect(clippy::cast_possible_truncation, reason = "a session has fewer Wh than an i64 holds")]
fn rounded(wh: f64) -> String {
    units::energy(wh.round() as i64)
}

fn percent(value: f64) -> String {
    format!("{value:.0} %")
}

/// What it came to, or has charged so far.
pub(super) fn figures(session: &Transaction) -> Markup {
    let took =
        session.duration_s.map(|s| format!("in {}", time::span(Duration::from_secs(s.unsigned_abs()))));
    let took = took.unwrap_or_default();
    if session.status == Status::Active {
        return html! {
            (card::big(energy::energy(session), took))
            ul.legend {
                @if let Some(watts) = session.power_w { li { "now " b { (units::power(watts as f64)) } } }
                @if let Some(percent) = session.soc_percent { li { "state of charge " b { (percent) " %" } } }
            }
        };
    }
    html! {
        (card::big(energy::energy(session), took))
        p { (chip::energy_quality(session.energy_quality)) " " span.muted { (quality(session)) } }
    }
}

/// How far the energy can be relied on, in words.
fn quality(session: &Transaction) -> &'static str {
    match session.energy_quality {
        EnergyQuality::Metered => {
            "The meter was read at the start and at the stop, and nothing contradicts it."
        }
        EnergyQuality::Estimated => "The meter was not read at the stop: the last meter value tells.",
        EnergyQuality::Implausible => {
            "The readings contradict each other, or no car takes so much: look before it is billed."
        }
        EnergyQuality::Missing if session.meter_start.is_none() => "The meter was not read at the start.",
        EnergyQuality::Missing => "The meter was not read at the stop, and no meter value tells.",
    }
}
