//! `chargehook transactions`: lists, sums and closes charging sessions, lists their meter values.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::session::{ListArgs, Session, Tasks};
use super::table::{Column, Table, cut, fields, or_dash, state, time, whole, yes_no};
use super::transaction_sums::{Summed, hours};
use super::{Failure, input};
use vocabulary::api::transaction::{CloseInput, MeterValue, Transaction};
use vocabulary::clock::Timestamp;
use vocabulary::units::Span;

pub(super) const HELP: &str = "\
Examples:
  chargehook transactions list --status active
  chargehook transactions list --station WALLBOX_001 --started-since 7d --all --json
  chargehook transactions list --updated-since 1h --oldest-first
  chargehook transactions list --quality implausible --min-energy-wh 1000
  chargehook transactions list --status active --min-duration 24h
  chargehook transactions summary --by owner,month --since 2026-01-01T00:00:00Z --time-zone Europe/Berlin
  chargehook transactions show 483920175
  chargehook transactions meter-values 483920175 --measurand Power.Active.Import
  chargehook transactions close 483920175 --stopped-at 2026-04-14T18:30:00Z --reason PowerLoss";

/// The arguments of `transactions`.
pub(super) type Transactions = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the transactions, the newest first
    List(ListArgs<Listed>),
    /// Sums the transactions that have ended
    Summary {
        #[command(flatten)]
        summed: Summed,
        #[command(flatten)]
        filter: Filter,
    },
    /// Shows a transaction
    Show {
        /// Its transaction id in OCPP
        id: i64,
    },
    /// Lists a transaction's meter values, in the charger's time order
    MeterValues {
        /// The number that OCPP knows it by
        id: i64,
        #[command(flatten)]
        list: ListArgs<Metered>,
    },
    /// Closes a transaction whose stop never came
    ///
    /// It is completed and TransactionCompleted is published; the charger gets no message. To end a session
    /// that is still running: chargehook command STATION RemoteStopTransaction '{"transactionId": ID}'
    Close {
        /// The number that OCPP knows it by
        id: i64,
        /// When it ended: a time, or how long ago (2h) [default: now]
        #[arg(long, value_name = "TIME", value_parser = input::moment)]
        stopped_at: Option<Timestamp>,
        /// The meter at the end, in Wh
        #[arg(long, value_name = "WH")]
        meter_stop: Option<i64>,
        /// Why it ended: a reason of OCPP, or your own words
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Args, Serialize)]
pub(super) struct Listed {
    #[command(flatten)]
    #[serde(flatten)]
    filter: Filter,
    /// Their start arrived then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Their start arrived before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

#[derive(Args, Serialize)]
pub(super) struct Filter {
    /// Only on this station
    #[arg(long = "station", value_name = "ID")]
    station_id: Option<String>,
    /// Only of this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Only on this connector
    #[arg(long = "connector", value_name = "N")]
    connector_id: Option<i64>,
    /// Their status: active or completed
    #[arg(long)]
    status: Option<String>,
    /// Only started with this id tag
    #[arg(long, value_name = "TAG")]
    id_tag: Option<String>,
    /// Only those whose stop is inferred in some part, or with =false none of them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    inferred: Option<bool>,
    /// Only those that another start followed before their own stop came, or with =false none of them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    orphaned: Option<bool>,
    /// Only with energy of this quality: metered, estimated, implausible or missing
    #[arg(long = "quality", value_name = "QUALITY")]
    energy_quality: Option<String>,
    /// Only those that have charged so much, in Wh
    #[arg(long, value_name = "WH")]
    min_energy_wh: Option<i64>,
    /// Only those that took so long, or are under way for so long (2h)
    #[arg(long, value_name = "DURATION")]
    min_duration: Option<Span>,
    /// Only on stations that stand there
    #[arg(long)]
    site: Option<String>,
    /// They started then or later, by the charger's clock
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    started_since: Option<Timestamp>,
    /// They started before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    started_until: Option<Timestamp>,
    /// They ended then or later, by the charger's clock
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    stopped_since: Option<Timestamp>,
    /// They ended before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    stopped_until: Option<Timestamp>,
    /// They were changed then or later; with --oldest-first sorted by that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    updated_since: Option<Timestamp>,
}

#[derive(Args, Serialize)]
pub(super) struct Metered {
    /// The measurand, such as Energy.Active.Import.Register
    #[arg(long)]
    measurand: Option<String>,
    /// The context, such as Sample.Periodic
    #[arg(long)]
    context: Option<String>,
    /// The phase, or the pair of phases, such as L1
    #[arg(long)]
    phase: Option<String>,
    /// The location, such as Outlet
    #[arg(long)]
    location: Option<String>,
    /// Raw or SignedData
    #[arg(long)]
    format: Option<String>,
    /// Arrived then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Arrived before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

pub(super) async fn run(Transactions { task, gateway }: Transactions) -> Result<(), Failure> {
    let session: Session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List(ListArgs { filter, paging }) => {
            session.list(&paging, &filter, |parameters| client.transactions(parameters), COLUMNS, row).await
        }
        Task::Summary { summed, filter } => {
            let mut parameters = input::parameters(&summed);
            parameters.extend(input::parameters(&filter));
            let call = client.transaction_summary(&input::borrowed(&parameters));
            session.rows(call, |summaries| summed.table(summaries)).await
        }
        Task::Show { id } => session.look(client.transaction(id), details).await,
        Task::MeterValues { id, list: ListArgs { filter, paging } } => {
            let ask = |parameters: &[(&str, &str)]| client.meter_values(id, parameters);
            session.list(&paging, &filter, ask, METER_COLUMNS, meter_row).await
        }
        Task::Close { id, stopped_at, meter_stop, reason } => {
            let closing = CloseInput { stopped_at, meter_stop, reason };
            let call = client.close_transaction(id, &closing);
            session.add(&mut Table::new(COLUMNS), call, row).await.map(drop)
        }
    }
}

const COLUMNS: [Column; 11] = [
    whole("TRANSACTION"),
    whole("STATION"),
    whole("CONNECTOR").minor(),
    state("STATUS"),
    cut("ID TAG").minor(),
    time("STARTED"),
    time("ENDED").minor(),
    whole("TOOK"),
    whole("W"),
    whole("WH"),
    state("QUALITY").minor(),
];

fn row(transaction: &Transaction) -> [String; 11] {
    [
        transaction.transaction_id.to_string(),
        transaction.station_id.clone(),
        or_dash(transaction.connector_id),
        transaction.status.to_string(),
        or_dash(transaction.id_tag.as_ref()),
        or_dash(transaction.started_at),
        or_dash(transaction.stopped_at),
        or_dash(transaction.duration_s.map(hours)),
        or_dash(transaction.power_w),
        or_dash(transaction.energy_wh.or(transaction.energy_estimated_wh)),
        transaction.energy_quality.to_string(),
    ]
}

fn details(transaction: &Transaction) -> String {
    fields(&[
        ("transaction", transaction.transaction_id.to_string()),
        ("station", transaction.station_id.clone()),
        ("connector", or_dash(transaction.connector_id)),
        ("owner", or_dash(transaction.owner_id.as_ref())),
        ("status", transaction.status.to_string()),
        ("id tag", or_dash(transaction.id_tag.as_ref())),
        ("answered with", transaction.id_tag_status.to_string()),
        ("refused because", or_dash(transaction.id_tag_reason)),
        ("reservation", or_dash(transaction.reservation_id)),
        ("command", or_dash(transaction.command_id)),
        ("began", or_dash(transaction.started_at)),
        ("ended", or_dash(transaction.stopped_at)),
        ("took", or_dash(transaction.duration_s.map(hours))),
        ("power in W", or_dash(transaction.power_w)),
        ("charged so far in Wh", or_dash(transaction.energy_so_far_wh)),
        ("state of charge in %", or_dash(transaction.soc_percent)),
        ("stop reason", or_dash(transaction.stop_reason.as_ref())),
        ("stopped by", or_dash(transaction.stop_id_tag.as_ref())),
        ("orphaned", yes_no(transaction.orphaned)),
        ("inferred", yes_no(transaction.inferred)),
        ("meter at start", or_dash(transaction.meter_start)),
        ("meter at stop", or_dash(transaction.meter_stop)),
        ("first register", or_dash(transaction.first_register_wh)),
        ("last register", or_dash(transaction.last_register_wh)),
        ("energy in Wh", or_dash(transaction.energy_wh)),
        ("estimated in Wh", or_dash(transaction.energy_estimated_wh)),
        ("energy quality", transaction.energy_quality.to_string()),
        ("revision", transaction.revision.to_string()),
        ("changed", transaction.updated_at.to_string()),
    ])
}

const METER_COLUMNS: [Column; 7] = [
    whole("AT"),
    whole("MEASURAND"),
    cut("VALUE"),
    whole("UNIT"),
    whole("PHASE"),
    whole("CONTEXT").minor(),
    whole("LOCATION").minor(),
];

fn meter_row(value: &MeterValue) -> [String; 7] {
    [
        value.occurred_at.unwrap_or(value.received_at).to_string(),
        value.measurand.clone(),
        value.value.clone(),
        or_dash(value.unit.as_ref()),
        or_dash(value.phase.as_ref()),
        value.context.clone(),
        value.location.clone(),
    ]
}
