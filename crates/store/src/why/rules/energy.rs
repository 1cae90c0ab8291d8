//! Sessions whose energy cannot be told, or cannot be true.

use std::time::Duration;

use super::super::answer::{Answer, ago, kwh, of_session, span, state};
use super::super::facts::SessionFacts;
use vocabulary::api::transaction::{EnergyQuality, Status};
use vocabulary::api::why::{Fact, Verdict};

/// No car takes more in a session, in Wh.
const SESSION_MAX_WH: i64 = 1_000_000;

/// No charger gives more, in W.
const CHARGING_MAX_W: i64 = 500_000;

/// A session that runs for so long is metered, if it is at all.
const METERED_AFTER: Duration = Duration::from_secs(30 * 60);

fn readings(facts: &SessionFacts) -> Vec<Fact> {
    let session = &facts.session;
    let began = session.started_at.unwrap_or(facts.created_at);
    let mut told = Vec::new();
    if let Some(wh) = session.meter_start {
        told.push(of_session(session, began, format!("The meter showed {wh} Wh at the start")));
    }
    if let Some((first, last)) = session.first_register_wh.zip(session.last_register_wh) {
        let metered = facts.metered_at.unwrap_or(session.updated_at);
        told.push(state(metered, format!("Its meter values went from {first} Wh to {last} Wh")));
    }
    if let Some(wh) = session.meter_stop {
        let end = session.stopped_at.unwrap_or(session.updated_at);
        told.push(of_session(session, end, format!("The meter showed {wh} Wh at the stop")));
    }
    let stop = facts.events.iter().rev().find(|seen| seen.is("StopTransaction"));
    told.extend(stop.map(|seen| seen.fact("Its stop came")));
    told
}

/// Which readings stand against each other.
fn contradiction(facts: &SessionFacts) -> String {
    let session = &facts.session;
    let (start, stop) = (session.meter_start, session.meter_stop);
    let registers = session.first_register_wh.zip(session.last_register_wh);
    let elapsed = session.started_at.zip(session.stopped_at);
    if elapsed.is_some_and(|(began, ended)| ended.unix_s() < began.unix_s()) {
        return "its stop lies before its start".to_owned();
    }
    if let Some((start, stop)) = start.zip(stop) {
        if start.min(stop) < 0 {
            return format!("a reading of the meter is negative ({start} Wh, {stop} Wh)");
        }
        if stop < start {
            return format!(
                "the meter runs backwards, from {start} Wh at the start to {stop} Wh at the stop"
            );
        }
        let wh = stop - start;
        if wh > SESSION_MAX_WH {
            return format!(
                "no car takes {}: one of {start} Wh and {stop} Wh is of another meter or unit",
                kwh(wh)
            );
        }
        if facts.meter_decimals && wh <= 250 {
            return format!("its readings have decimals and differ by {wh} only: they may be kWh, not Wh");
        }
        if let Some((first, last)) = registers {
            return format!(
                "start and stop show {start} Wh and {stop} Wh ({}), its meter values {first} Wh to {last} Wh ({})",
                kwh(wh),
                kwh(last - first)
            );
        }
        if let Some(before) = facts.meter_before_wh.filter(|before| *before > start) {
            return format!(
                "it starts at {start} Wh, where the connector's meter had come to {before} Wh before"
            );
        }
        if let Some((began, ended)) = elapsed {
            let took = ended.since(began);
            let most = CHARGING_MAX_W.saturating_mul(took.as_secs() as i64) / 3_600;
            return match wh > most {
                true => format!("{} in {} is more than any charger gives", kwh(wh), span(took)),
                false => format!("{} in {}, and no meter value bears it out", kwh(wh), span(took)),
            };
        }
    }
    match (start, registers) {
        (Some(start), Some((first, last))) => {
            format!("it starts at {start} Wh, and its meter values go from {first} Wh to {last} Wh")
        }
        _ => "its readings contradict each other".to_owned(),
    }
}

pub(super) fn implausible(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    if session.status != Status::Completed || session.energy_quality != EnergyQuality::Implausible {
        return None;
    }
    let estimate = match session.energy_estimated_wh {
        Some(wh) => format!(" By the meter values it was {}.", kwh(wh)),
        None => String::new(),
    };
    let summary = format!(
        "The energy of session {} cannot be true: {}.{estimate}",
        session.transaction_id,
        contradiction(facts)
    );
    Some(
        Answer::new(Verdict::EnergyImplausible, summary)
            .facts(readings(facts))
            .next("Do not charge for it as it is: look at its meter values (GET /transactions/{id}/meter-values)".replace("{id}", &session.transaction_id.to_string()))
            .next("If sessions of this charger are like that, its meter was exchanged, or its firmware counts in another unit"),
    )
}

pub(super) fn not_metered(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    if session.status == Status::Active {
        return unmetered_so_far(facts);
    }
    let what = match session.energy_quality {
        EnergyQuality::Missing => "there is no reading at its stop, and no meter value came".to_owned(),
        EnergyQuality::Estimated => {
            let wh = session.energy_estimated_wh.map(kwh).unwrap_or_default();
            format!("there is no reading at its stop; by its meter values it was {wh}")
        }
        EnergyQuality::Metered | EnergyQuality::Implausible => return None,
    };
    let summary = format!("The energy of session {} was not metered: {what}.", session.transaction_id);
    Some(
        Answer::new(Verdict::EnergyNotMetered, summary)
            .facts(readings(facts))
            .fact(facts.metered_at.map(|metered| state(metered, "Its newest meter value came")))
            .next(
                "Ask for meter values: MeterValuesSampledData with Energy.Active.Import.Register, and a \
                   MeterValueSampleInterval above 0",
            )
            .next("If the charger has sent none though it is set so, its meter may be broken"),
    )
}

/// A session that runs for a while, and of which no meter value came.
fn unmetered_so_far(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    let ran = facts.now.since(facts.created_at);
    if facts.metered_at.is_some() || ran < METERED_AFTER {
        return None;
    }
    let summary = format!(
        "Session {} runs for {}, and no meter value has come: whether it charges, and how much, is not known before its \
         stop.",
        session.transaction_id,
        ago(facts.created_at, facts.now)
    );
    Some(
        Answer::new(Verdict::EnergyNotMetered, summary)
            .fact(of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began"))
            .next(
                "Ask for meter values: ChangeConfiguration MeterValueSampleInterval to 60, and \
                   Energy.Active.Import.Register in MeterValuesSampledData",
            ),
    )
}
