//! What is asked of the API for a session's page.

use std::time::Duration;

use serde_json::Value;

use super::REMOTE_STOP;
use crate::ui::charging::history::of_this_session;
use crate::ui::charging::readings::{MEASURANDS, Readings};
use crate::ui::failure::Failure;
use crate::ui::page::optional;
use crate::ui::session::Session;
use vocabulary::api::command::Command;
use vocabulary::api::event::Event;
use vocabulary::api::transaction::{MeterValue, Status, Transaction};
use vocabulary::api::why::Why;

/// How many pages of each measurand are read, of 500 values.
const PAGES_MAX: usize = 8;

/// How long before its start the card was shown, or the cable plugged in.
const BEFORE: Duration = Duration::from_secs(15 * 60);

/// How long after its end the cable is unplugged.
const AFTER: Duration = Duration::from_secs(2 * 60);

/// What the page shows.
pub(super) struct View {
    pub(super) session: Transaction,
    pub(super) readings: Readings,
    /// More was metered than is read here.
    pub(super) is_cut: bool,
    /// Its own events.
    pub(super) events: Vec<Event>,
    /// What its connector has reported meanwhile, and the card at the reader.
    pub(super) around: Vec<Event>,
    /// The remote start that began it, and remote stops.
    pub(super) commands: Vec<Command>,
    pub(super) why: Option<Why>,
}

/// Asks for all that the page shows.
pub(super) async fn look(session: &Session, id: i64) -> Result<View, Failure> {
    let client = &session.client;
    let number = id.to_string();
    let own = [
        ("transaction_id", number.as_str()),
        ("event", "StartTransaction"),
        ("event", "StopTransaction"),
        ("event", "DataTransfer"),
        ("event", "RemoteStartOutcome"),
        ("event", "transaction.*"),
        ("order", "asc"),
        ("limit", "100"),
    ];
    let (transaction, events, why, values) = tokio::join!(
        client.transaction(id).into_future(),
        client.events(&own).into_future(),
        client.why_transaction(id).into_future(),
        values(session, id),
    );
    let transaction = transaction?;
    let events = optional(events)?.map(|page| page.data).unwrap_or_default();
    let (values, is_cut) = values?;
    let (around, commands) = around(session, &transaction, &events).await?;
    let readings = Readings::of(&transaction, &values);
    Ok(View { session: transaction, readings, is_cut, events, around, commands, why: optional(why)? })
}

/// The values that curves are made of, and whether there are more.
async fn values(session: &Session, id: i64) -> Result<(Vec<MeterValue>, bool), Failure> {
    let [energy, power, soc] = MEASURANDS.map(|measurand| values_of(session, id, measurand));
    let (energy, power, soc) = tokio::join!(energy, power, soc);
    let (mut all, mut is_cut) = (Vec::new(), false);
    for read in [energy?, power?, soc?] {
        all.extend(read.0);
        is_cut |= read.1;
    }
    Ok((all, is_cut))
}

async fn values_of(session: &Session, id: i64, measurand: &str) -> Result<(Vec<MeterValue>, bool), Failure> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut parameters = vec![("measurand", measurand), ("limit", "500")];
        parameters.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let Some(page) = optional(session.client.meter_values(id, &parameters).await)? else { break };
        all.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok((all, cursor.is_some()))
}

/// What belongs to a session without naming it: the card at the reader, its connector, its commands.
async fn around(
    session: &Session,
    transaction: &Transaction,
    events: &[Event],
) -> Result<(Vec<Event>, Vec<Command>), Failure> {
    // Retention may have removed its start: then nothing says when to look.
    let Some(began) = events.first().map(|event| event.timestamp) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let ended = match transaction.status {
        Status::Active => session.now,
        Status::Completed => {
            // Corrections may come days later; its connector's reports then are of other sessions.
            let end = ending(events).or(events.last()).map_or(began, |event| event.timestamp);
            end.after(AFTER)
        }
    };
    let (since, until) = (began.before(BEFORE).to_string(), ended.to_string());
    let start = began.after(Duration::from_secs(1)).to_string();
    let station = transaction.station_id.as_str();
    let client = &session.client;
    let cards = [
        ("event", "Authorize"),
        ("station_id", station),
        ("since", &since),
        ("until", &start),
        ("limit", "20"),
    ];
    let statuses = [
        ("event", "StatusNotification"),
        ("station_id", station),
        ("since", &since),
        ("until", &until),
        ("order", "asc"),
        ("limit", "200"),
    ];
    let stops = [("station_id", station), ("action", REMOTE_STOP), ("since", &since), ("limit", "50")];
    let began_at = began.to_string();
    let starts = [
        ("event", "StartTransaction"),
        ("station_id", station),
        ("since", &began_at),
        ("until", &until),
        ("order", "asc"),
        ("limit", "20"),
    ];
    let (cards, statuses, starts, stops, start) = tokio::join!(
        client.events(&cards).into_future(),
        client.events(&statuses).into_future(),
        client.events(&starts).into_future(),
        client.commands(&stops).into_future(),
        async {
            match transaction.command_id {
                Some(id) => optional(client.command(id).await),
                None => Ok(None),
            }
        },
    );
    let cards = optional(cards)?.map(|page| page.data).unwrap_or_default();
    let statuses = optional(statuses)?.map(|page| page.data).unwrap_or_default();
    let card = cards.into_iter().find(|event| is_of_tag(event, transaction.id_tag.as_deref()));
    let starts = optional(starts)?.map(|page| page.data).unwrap_or_default();
    // From then on its connector reports what belongs to the next session.
    let next_start = starts.into_iter().find(|event| {
        event.transaction_id != Some(transaction.transaction_id)
            && event.duplicate_of.is_none()
            && is_of_connector(event, transaction.connector_id)
    });
    let of_connector = statuses
        .into_iter()
        .filter(|event| is_of_connector(event, transaction.connector_id))
        .filter(|event| next_start.as_ref().is_none_or(|next| event.id < next.id));
    let stops = optional(stops)?.map(|page| page.data).unwrap_or_default();
    let stops = stops.into_iter().filter(|command| stops_session(command, transaction.transaction_id));
    let mut around = of_this_session(of_connector, began, ending(events).map(|event| event.timestamp));
    around.extend(card);
    Ok((around, start?.into_iter().chain(stops).collect()))
}

/// The event with which it ended.
fn ending(events: &[Event]) -> Option<&Event> {
    events.iter().find(|event| event.event == "StopTransaction" || event.event == "TransactionCompleted")
}

fn is_of_tag(event: &Event, id_tag: Option<&str>) -> bool {
    let payload = read(event.payload.get());
    let shown = payload["idTag"].as_str();
    shown.zip(id_tag).is_some_and(|(shown, tag)| shown.trim().eq_ignore_ascii_case(tag.trim()))
}

fn is_of_connector(event: &Event, connector: Option<i64>) -> bool {
    connector.is_some() && read(event.payload.get())["connectorId"].as_i64() == connector
}

fn stops_session(command: &Command, id: i64) -> bool {
    read(command.payload.get())["transactionId"].as_i64() == Some(id)
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}
