//! Stations that are connected and not yet at work: their boots, and their clocks.

use super::super::answer::{Answer, at, state};
use super::super::causes;
use super::super::facts::{Seen, StationFacts};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::boot_status::BootStatus;

/// A clock this far off is wrong, in milliseconds.
const CLOCK_WRONG_MS: u64 = 5 * 60_000;

fn last_boot(facts: &StationFacts) -> Option<&Seen> {
    facts.events.iter().find(|seen| seen.is("BootNotification"))
}

fn booted(facts: &StationFacts) -> Option<Fact> {
    let seen = last_boot(facts)?;
    let answer = seen.response["status"].as_str().unwrap_or("nothing");
    Some(seen.fact(format!("It booted, and was answered {answer}")))
}

pub(super) fn rejected(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref().filter(|station| station.boot_status == BootStatus::Rejected)?;
    let summary = format!(
        "{} is connected, and its boot is answered Rejected: it may not charge, and no command is sent to it.",
        station.station_id
    );
    Some(
        Answer::new(Verdict::Rejected, summary)
            .fact(state(station.updated_at, "Its boot_status is rejected"))
            .fact(booted(facts))
            .next(format!(
                "If it may work: PATCH /stations/{} {{\"boot_status\": \"accepted\"}}; it asks again by itself",
                station.station_id
            )),
    )
}

pub(super) fn pending(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let id = &station.station_id;
    if station.boot_status == BootStatus::Pending {
        let summary =
            format!("{id} waits to be accepted: its boot is answered Pending, so it starts no session.");
        return Some(
            Answer::new(Verdict::Pending, summary)
                .fact(state(station.updated_at, "Its boot_status is pending"))
                .fact(booted(facts))
                .next(format!(
                    "Accept it: PATCH /stations/{id} {{\"boot_status\": \"accepted\"}}; it asks again by itself"
                )),
        );
    }
    let boot = station.booted_as.filter(|status| *status != BootStatus::Accepted)?;
    let summary = format!(
        "{id} is accepted by now, but its last boot was answered {}: it works once it has booted again.",
        boot.as_str()
    );
    Some(
        Answer::new(Verdict::Pending, summary)
            .fact(state(station.updated_at, "It was accepted"))
            .fact(booted(facts))
            .next("Wait for its next BootNotification, or disconnect it so that it boots sooner"),
    )
}

pub(super) fn not_booted(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref().filter(|station| station.booted_at.is_none())?;
    let since = station.connected_at.unwrap_or(facts.now);
    let summary = format!(
        "{} is connected since {} and has never sent a BootNotification, so no command is sent to it.",
        station.station_id,
        at(since, facts.now)
    );
    Some(
        Answer::new(Verdict::NotBooted, summary)
            .fact(state(since, "It connected"))
            .next("Restart the charger: it boots with its next connection")
            .next(format!("Or disconnect it: POST /stations/{}/disconnect", station.station_id)),
    )
}

pub(super) fn boot_loop(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref().filter(|station| station.has_flag("boot_loop"))?;
    let boots = facts.events.iter().filter(|seen| seen.is("BootNotification"));
    let summary = format!(
        "{} boots again and again, and nobody has asked it to: it restarts by itself.",
        station.station_id
    );
    Some(
        Answer::new(Verdict::BootLoop, summary)
            .facts(boots.take(5).map(|seen| seen.fact("It booted")))
            .next("Look at its power supply, and ask the vendor about this firmware version")
            .next(format!("Get its log: GetDiagnostics to {}", station.station_id)),
    )
}

pub(super) fn clock_wrong(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let is_off = |skew_ms: &i64| skew_ms.unsigned_abs() > CLOCK_WRONG_MS;
    let skew_ms = station.clock_skew_ms.filter(is_off)?;
    let never_set = station.has_flag("clock:never_set");
    let by = match never_set {
        true => "was never set since it lost its power".to_owned(),
        false => format!("is {}", causes::clock(skew_ms)),
    };
    let summary = format!(
        "The clock of {} {by}: times of its sessions and meter values are wrong by as much.",
        station.station_id
    );
    let heard = station.last_seen_at.unwrap_or(facts.now);
    let text = match never_set {
        true => format!("Its clock shows {}", at(shifted(heard, skew_ms), facts.now)),
        false => format!("Its clock is {}", causes::clock(skew_ms)),
    };
    Some(
        Answer::new(Verdict::ClockWrong, summary)
            .fact(booted(facts))
            .fact(state(heard, text))
            .next("Let it set its clock: it is told the time with every boot and heartbeat; restart it with a Reset")
            .next("If that does not help, look at its time zone or NTP settings, or at the battery of its clock"),
    )
}

fn shifted(moment: Timestamp, by_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(moment.unix_ms().saturating_add(by_ms))
}
