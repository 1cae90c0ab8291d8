//! `chargehook stations`: lists, creates, changes, deletes and disconnects stations.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::import::{self, RowResult};
use super::session::{ListArgs, Paging, Session, Tasks};
use super::station_filter::StationFilter;
use super::station_summary::Summary;
use super::table::{Column, Table, cut, fields, listed, or_dash, state, time, whole, yes_no};
use super::{Failure, connectors, input, print, station_summary};
use vocabulary::api::message::{Direction, Message};
use vocabulary::api::station::{ImportedStation, Station, StationError};
use vocabulary::clock::Timestamp;

pub(super) const HELP: &str = "\
Examples:
  chargehook stations list --online=false --sort offline_since
  chargehook stations list --site Harbour --metadata zone=7
  chargehook stations list --q WALLBOX --since 7d
  chargehook stations summary --by vendor,model,firmware_version
  chargehook stations add WALLBOX_001 --name 'Garage left' --owner acme --site Harbour --password -
  chargehook stations set WALLBOX_001 --blocked
  chargehook stations set WALLBOX_001 --clear password
  chargehook stations import stations.csv";

/// The arguments of `stations`.
pub(super) type Stations = Tasks<Task>;

#[derive(Subcommand)]
pub(super) enum Task {
    /// Lists the stations, the newest first
    List(ListArgs<Listing>),
    /// Counts the stations by site, model, firmware and more
    Summary(Summary),
    /// Shows a station and its connectors
    Show {
        /// The station's identity
        id: String,
    },
    /// Shows a station's connectors, as it last reported them
    Connectors {
        /// The station's identity
        id: String,
    },
    /// Shows a station's configuration keys, as they were last read or set
    ///
    /// The station is not asked. To read them again: chargehook command ID GetConfiguration
    Configuration {
        /// The station's identity
        id: String,
    },
    /// Shows a station's OCPP messages
    Messages {
        /// The station's identity
        id: String,
        #[command(flatten)]
        filter: Wire,
        #[command(flatten)]
        paging: Paging,
        /// Shows the last ones (--limit, 10 by default), then each new one as it comes, until Ctrl-C
        #[arg(long, conflicts_with_all = ["all", "cursor", "oldest_first"])]
        follow: bool,
    },
    /// Creates a station before it connects for the first time
    Add {
        /// The station's identity: the last segment of the URL it connects to
        id: String,
        #[command(flatten)]
        fields: Fields,
    },
    /// Changes a station; other fields stay as they are
    Set {
        /// The station's identity
        id: String,
        #[command(flatten)]
        fields: Fields,
        /// Removes a value, such as password or time-zone (repeatable)
        #[arg(long, value_name = "FIELD")]
        clear: Vec<String>,
    },
    /// Deletes stations and closes their sockets; their events and transactions stay
    Delete {
        /// The stations' identities
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Disconnects a station, which may connect again at once
    Disconnect {
        /// The station's identity
        id: String,
    },
    /// Creates or changes many stations: a CSV whose first line names the columns, or a JSON array
    ///
    /// The columns, or members, are station_id and those of the API's stations. Shows the rows that were left
    /// out, and why; exits with 1 if there are any.
    Import {
        /// The file; - is standard input
        file: String,
    },
}

#[derive(Args, Serialize)]
pub(super) struct Listing {
    #[command(flatten)]
    #[serde(flatten)]
    filter: StationFilter,
    /// Sorts by last_seen_at (those that are online come as the newest), or by offline_since
    #[arg(long, value_name = "FIELD")]
    sort: Option<String>,
}

#[derive(Args, Serialize)]
pub(super) struct Wire {
    /// inbound is from the charger, outbound to it
    #[arg(long)]
    direction: Option<String>,
    /// Their action, or that of the CALL they answer, such as StatusNotification
    #[arg(long)]
    action: Option<String>,
    /// Sent or received then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Sent or received before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

#[derive(Args, Serialize)]
pub(super) struct Fields {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// The customer it belongs to
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// The place where it stands, such as a car park
    #[arg(long)]
    site: Option<String>,
    /// Its Basic auth password, 8 to 40 characters; - reads it from standard input
    #[arg(long)]
    password: Option<String>,
    /// The lowest security profile it may connect with, 0 to 3
    #[arg(long, value_name = "N")]
    min_security_profile: Option<u8>,
    /// The name its client certificate carries, if not its identity
    #[arg(long, value_name = "NAME")]
    certificate_name: Option<String>,
    /// The serial number of its client certificate, in hex: no other one is accepted
    #[arg(long, value_name = "HEX")]
    certificate_serial: Option<String>,
    /// The status that answers its boots: accepted, pending or rejected
    #[arg(long, value_name = "STATUS")]
    boot_status: Option<String>,
    /// Refuses it at the handshake, or with =false no longer
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    blocked: Option<bool>,
    /// How strictly its messages are read: lenient, strict or off
    #[arg(long, value_name = "MODE")]
    validation: Option<String>,
    /// The time zone of its times without zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The largest message it may send, such as 64KiB
    #[arg(long, value_name = "SIZE")]
    message_size: Option<String>,
    /// Whether the gateway pings its socket
    #[arg(long, value_name = "BOOL")]
    ping: Option<bool>,
    /// Metadata to be stored with it: a JSON object
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    metadata: Option<Value>,
}

impl Fields {
    fn ready(mut self) -> Result<Self, Failure> {
        self.password = input::secret(self.password)?;
        Ok(self)
    }
}

pub(super) async fn run(Stations { task, gateway }: Stations) -> Result<(), Failure> {
    let session = gateway.open()?;
    let client = &session.client;
    match task {
        Task::List(ListArgs { filter, paging }) => {
            session.list(&paging, &filter, |parameters| client.stations(parameters), COLUMNS, row).await
        }
        Task::Summary(summary) => station_summary::show(&session, &summary).await,
        Task::Show { id } => show(&session, &id).await,
        Task::Connectors { id } => connectors::of_station(&session, &id).await,
        Task::Configuration { id } => configuration(&session, &id).await,
        Task::Messages { id, filter, paging, follow: true } => {
            let filters = input::parameters(&filter);
            let follower = client.follow_messages(&id, filters.clone()).await?;
            let before = client.messages(&id, &input::borrowed(&paging.before_following(filters)));
            session.follow(follower, before, MESSAGE_COLUMNS, message_row, |message| message.id.clone()).await
        }
        Task::Messages { id, filter, paging, follow: false } => {
            let ask = |parameters: &[(&str, &str)]| client.messages(&id, parameters);
            session.list(&paging, &filter, ask, MESSAGE_COLUMNS, message_row).await
        }
        Task::Add { id, fields } => {
            let mut body = input::body(&fields.ready()?, &[]);
            body.insert("station_id".to_owned(), id.into());
            session.add(&mut Table::new(COLUMNS), client.create_station(&body), row).await.map(drop)
        }
        Task::Set { id, fields, clear } => {
            let patch = input::body(&fields.ready()?, &clear);
            session.add(&mut Table::new(COLUMNS), client.patch_station(&id, &patch), row).await.map(drop)
        }
        Task::Delete { ids } => {
            for id in ids {
                session.show(client.delete_station(&id), |()| format!("{id} is removed\n")).await?;
            }
            Ok(())
        }
        Task::Disconnect { id } => {
            let tell = |_: &_| format!("the socket of {id} is being closed\n");
            session.show(client.disconnect_station(&id), tell).await.map(drop)
        }
        Task::Import { file } => {
            let send = |content_type, rows| client.import_stations(content_type, rows);
            import::run(&session, &file, "STATION", send, imported).await
        }
    }
}

const COLUMNS: [Column; 11] = [
    whole("STATION"),
    state("STATE"),
    time("SINCE"),
    state("ERROR"),
    cut("SITE").minor(),
    state("BOOT").minor(),
    cut("OWNER").minor(),
    cut("MODEL").minor(),
    cut("FIRMWARE").minor(),
    time("LAST SEEN").minor(),
    cut("FLAGS").minor(),
];

fn row(station: &Station) -> [String; 11] {
    let model: Vec<&str> =
        [&station.vendor, &station.model].into_iter().flatten().map(String::as_str).collect();
    [
        station.station_id.clone(),
        presence(station).to_owned(),
        or_dash(station.offline_since.or(station.connected_at.filter(|_| station.connected))),
        or_dash(station.last_error.as_ref().map(|error| &error.error_code)),
        or_dash(station.site.as_ref()),
        station.boot_status.as_str().to_owned(),
        or_dash(station.owner_id.as_ref()),
        or_dash((!model.is_empty()).then(|| model.join(" "))),
        or_dash(station.firmware_version.as_ref()),
        or_dash(station.last_seen_at),
        listed(&station.flags),
    ]
}

/// Whether it is there, in a word; `silent`: its socket is open, and nothing comes.
fn presence(station: &Station) -> &'static str {
    match station {
        Station { connected: true, offline_since: None, .. } => "online",
        Station { connected: true, .. } => "silent",
        Station { blocked: true, .. } => "blocked",
        Station { connected_at: None, .. } => "never",
        _ => "offline",
    }
}

fn told_error(error: &StationError) -> String {
    let connector = match error.connector_id {
        0 => "the station".to_owned(),
        number => format!("connector {number}"),
    };
    let beside = error.info.as_ref().or(error.vendor_error_code.as_ref());
    let beside = beside.map(|text| format!(" ({text})")).unwrap_or_default();
    format!("{}{beside} of {connector} since {}", error.error_code, error.at)
}

async fn show(session: &Session, id: &str) -> Result<(), Failure> {
    session.show(session.client.station(id), details).await?;
    if session.json {
        return Ok(());
    }
    print("\n")?;
    connectors::of_station(session, id).await
}

fn details(station: &Station) -> String {
    let skew = station.clock_skew_ms.map(told_skew);
    fields(&[
        ("station", station.station_id.clone()),
        ("name", or_dash(station.name.as_ref())),
        ("owner", or_dash(station.owner_id.as_ref())),
        ("site", or_dash(station.site.as_ref())),
        ("state", presence(station).to_owned()),
        ("connected at", or_dash(station.connected_at)),
        ("node", or_dash(station.node.as_ref())),
        ("last seen", or_dash(station.last_seen_at)),
        ("offline since", or_dash(station.offline_since)),
        ("disconnected at", or_dash(station.disconnected_at)),
        ("disconnected by", or_dash(station.disconnect_reason.as_ref())),
        ("last error", or_dash(station.last_error.as_ref().map(told_error))),
        ("address", or_dash(station.remote_addr.as_ref())),
        ("protocol", or_dash(station.protocol.as_ref())),
        ("vendor", or_dash(station.vendor.as_ref())),
        ("model", or_dash(station.model.as_ref())),
        ("serial number", or_dash(station.serial_number.as_ref())),
        ("firmware", or_dash(station.firmware_version.as_ref())),
        ("boot", station.boot_status.as_str().to_owned()),
        ("blocked", yes_no(station.blocked)),
        ("password", yes_no(station.password_set)),
        ("security profile", or_dash(station.security_profile)),
        ("lowest profile", station.min_security_profile.to_string()),
        ("certificate name", or_dash(station.certificate_name.as_ref())),
        ("certificate serial", or_dash(station.certificate_serial.as_ref())),
        ("validation", or_dash(station.validation.map(|mode| mode.as_str()))),
        ("time zone", or_dash(station.time_zone.as_ref())),
        ("message size", or_dash(station.message_size)),
        ("ping", yes_no(station.ping)),
        ("clock", or_dash(skew)),
        ("firmware status", or_dash(station.firmware_status.as_ref())),
        ("diagnostics", or_dash(station.diagnostics_status.as_ref())),
        ("log", or_dash(station.log_status.as_ref())),
        ("local list", or_dash(station.local_list_version)),
        ("flags", listed(&station.flags)),
        ("abilities", listed(&station.abilities)),
        ("metadata", Value::from(station.metadata.clone()).to_string()),
        ("created", station.created_at.to_string()),
        ("changed", station.updated_at.to_string()),
    ])
}

/// The error of a clock in words.
fn told_skew(ahead_ms: i64) -> String {
    let ms = ahead_ms.unsigned_abs();
    let off = match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    };
    match ahead_ms {
        0 => "as the gateway's".to_owned(),
        1.. => format!("{off} ahead of the gateway's"),
        _ => format!("{off} behind the gateway's"),
    }
}

async fn configuration(session: &Session, id: &str) -> Result<(), Failure> {
    let columns =
        [whole("KEY"), cut("VALUE"), whole("READONLY").minor(), time("READ").minor(), time("SET").minor()];
    let page = session.page(session.client.configuration(id), columns, |key| {
        let value = match (key.known, key.pending_reboot) {
            (false, _) => "(not known to the station)".to_owned(),
            (true, true) => format!("{} (from the next boot on)", or_dash(key.value.as_ref())),
            (true, false) => or_dash(key.value.as_ref()),
        };
        [key.key.clone(), value, or_dash(key.readonly.map(yes_no)), or_dash(key.read_at), or_dash(key.set_at)]
    });
    page.await
}

const MESSAGE_COLUMNS: [Column; 5] =
    [whole("AT"), whole("FROM"), whole("TYPE"), whole("ACTION"), cut("MESSAGE")];

fn message_row(message: &Message) -> [String; 5] {
    let from = match message.direction {
        Direction::Inbound => "station",
        Direction::Outbound => "gateway",
    };
    [
        message.at.to_string(),
        from.to_owned(),
        or_dash(message.r#type),
        or_dash(message.action.as_ref()),
        or_dash(message.raw.as_ref()),
    ]
}

fn imported(row: &ImportedStation) -> RowResult<'_> {
    RowResult { number: row.row, name: row.station_id.as_deref(), result: row.result, errors: &row.errors }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_behind_or_ahead_in_units_that_fit() {
        for (ahead_ms, told) in [
            (0, "as the gateway's"),
            (-5, "5 ms behind the gateway's"),
            (5, "5 ms ahead of the gateway's"),
            (-90_400, "90 s behind the gateway's"),
            (3_600_000, "60 min ahead of the gateway's"),
            (-7_200_000, "2 h behind the gateway's"),
            (i64::MIN, "106751991167 days behind the gateway's"),
        ] {
            assert_eq!(told_skew(ahead_ms), told);
        }
    }
}
