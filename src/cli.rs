//! The command line of `chargehook`: arguments, dispatch, exit codes.

mod audit;
mod backup;
mod bulk;
mod bulk_table;
mod command;
mod commands;
mod connectors;
mod counts;
mod csv;
mod deliveries;
mod events;
mod id_tags;
mod import;
mod input;
mod keys;
mod listen;
mod many_stations;
mod migrate;
mod nodes;
mod redraw;
mod relative_time;
mod remote;
mod replays;
mod reports;
mod reservations;
mod secrets;
mod session;
mod station_filter;
mod station_summary;
mod stations;
mod status;
mod table;
mod tone;
mod transaction_sums;
mod transactions;
mod view;
mod webhook_fields;
mod webhooks;
mod why;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::ClientError;
use crate::config::{Config, ConfigError, DEFAULT_FILE, Override, Sources};
use crate::demo::{self, DemoError};
use crate::gateway::{self, StartError};
use crate::http;
use crate::keys::{API_KEY_VARIABLE, KeyError};
use crate::listen::ListenError;
use crate::serve::{self, Reloads, ServeError};
use crate::telemetry::{self, TelemetryError};
use store::{BackupError, KeyChangeRefused, NoSecretsKey, Store, StoreError};
use vocabulary::clock::Clock;
use vocabulary::id::{ApiKeyId, BulkCommandId, CommandId};

/// Connects EV chargers that speak OCPP 1.6-J, stores their messages, and sends them on as signed webhooks.
#[derive(Parser)]
#[command(name = "chargehook", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done, or stopped by SIGINT or SIGTERM; 2 usage or configuration error; 1 any other failure.";

const LISTEN_HELP: &str = "\
Examples:
  chargehook listen --to http://127.0.0.1:4000/ --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
  chargehook listen --to http://127.0.0.1:4000/ --event 'ocpp.*' --url https://gateway.example.com";

const SETTINGS_HELP: &str = "\
Every setting is a key of the configuration file (see `chargehook config default`) and an environment \
variable made of its table and name: `listen` of [ocpp] is CHARGEHOOK_OCPP_LISTEN. The command line wins \
over the environment, the environment over the file, the file over the defaults.";

#[derive(Subcommand)]
enum Command {
    /// Runs the gateway until SIGINT or SIGTERM
    ///
    /// Chargers connect to ws://HOST:9000/ocpp/STATION_ID. When its listeners accept connections it prints
    /// one line to stdout: chargehook ready ocpp=ADDR api=ADDR. The log goes to stderr.
    ///
    /// If the database has no API key, the one in CHARGEHOOK_API_KEY (16 characters or more) becomes the
    /// admin key; without it one is generated and written to admin-key in the data directory.
    #[command(after_help = SETTINGS_HELP)]
    Serve(Settings),
    /// Shows the whole path on this machine, without any set-up
    ///
    /// A gateway on a temporary database, a webhook receiver that verifies signatures, and simulated chargers
    /// that charge cars. Prints each event as it is received and verified, then a summary.
    Demo {
        /// Goes on until Ctrl-C instead of ending after one round
        #[arg(long)]
        forever: bool,
    },
    /// Forwards a running gateway's events to an endpoint on this machine
    ///
    /// For developers of a receiver: follows the gateway's live stream, posts each event to --to, signed like
    /// a webhook, and prints the status of each. No event is sent twice, and none is left out if the gateway
    /// is not reachable for a while. Ends with Ctrl-C.
    #[command(after_help = LISTEN_HELP)]
    Listen(listen::ListenArgs),
    /// Shows everything at a glance: what there is, how it does, and what needs you
    #[command(after_help = status::HELP)]
    Status(status::Status),
    /// Lists, provisions and changes stations
    #[command(after_help = stations::HELP)]
    Stations(stations::Stations),
    /// Lists the connectors of all stations, by how they are
    #[command(after_help = connectors::HELP)]
    Connectors(connectors::Connectors),
    /// Lists charging sessions and their meter values, closes those whose stop never came
    #[command(after_help = transactions::HELP)]
    Transactions(transactions::Transactions),
    /// Lists, registers and deletes id tags
    #[command(after_help = id_tags::HELP)]
    IdTags(id_tags::IdTags),
    /// Lists and follows events, publishes your own, shows where each one was delivered
    #[command(after_help = events::HELP)]
    Events(events::Events),
    /// Lists deliveries and dead letters, sends them again
    #[command(after_help = deliveries::HELP)]
    Deliveries(deliveries::Deliveries),
    /// Creates, changes, tests, pauses and replays webhooks
    #[command(after_help = webhooks::HELP)]
    Webhooks(webhooks::Webhooks),
    /// Sends a command to a station, or to many, through a running gateway
    ///
    /// Waits for the charger's answer and prints it. Exits with 0 if the charger accepts the command, or with
    /// --no-wait.
    ///
    /// With --all, --station or a filter it is sent to each of many stations at a rate, in the background of
    /// the gateway: on a terminal it asks first, and shows how far it comes until all have ended. Exits with
    /// 0 if each station that was asked has accepted.
    #[command(name = "command", after_help = command::HELP, override_usage = command::USAGE)]
    Send(Box<command::CommandArgs>),
    /// Lists the commands that were sent, shows what came of one, cancels those that wait
    #[command(after_help = commands::HELP)]
    Commands(commands::Commands),
    /// Lists the reservations of stations
    #[command(after_help = reservations::HELP)]
    Reservations(reservations::Reservations),
    /// Lists, shows and cancels commands to many stations
    #[command(after_help = bulk::HELP)]
    Bulk(bulk::Bulk),
    /// Reports over the past: uptime
    #[command(after_help = reports::HELP)]
    Reports(reports::Reports),
    /// Says why a station, a session, a command, an id tag or a delivery is as it is
    ///
    /// One answer in plain words, the facts it is made of with their ids, and what can be done.
    #[command(after_help = why::HELP)]
    Why(why::WhyArgs),
    /// Lists the nodes: the gateways that work on one store
    ///
    /// How each is, how many stations are connected to it, and how many webhooks it sends for. A gateway with
    /// a store of its own lists itself. Needs a key that is not bound to an owner.
    #[command(after_help = nodes::HELP)]
    Nodes(session::GatewayArgs),
    /// Lists who changed what through the API, and when
    ///
    /// Every request that may have changed something, with the names of the fields it gave, never their
    /// values. Needs a key with the scope admin.
    #[command(after_help = audit::HELP)]
    Audit(audit::Audit),
    /// Creates, lists and revokes API keys, on the data directory or through a gateway
    #[command(after_help = keys::HELP)]
    Keys(keys::Keys),
    /// Copies the database to a file, also while `serve` runs
    ///
    /// The copy is a consistent snapshot, checked and on disk when this ends. The key of the database's
    /// secrets is not in it: keep it separately, a restore needs both.
    Backup(backup::BackupArgs),
    /// Restores the database from a backup
    ///
    /// Refused while `serve` runs there, and over an existing database without --force. Everything since the
    /// backup is lost, but its numbers are known to others: transaction ids, station_seq and webhooks'
    /// sequences continue far beyond those that may have been used, and the next start publishes a
    /// GatewayRestored event.
    Restore(backup::RestoreArgs),
    /// Carries the data directory over to a database of PostgreSQL, for many nodes
    ///
    /// All of it in one transaction: whatever happens meanwhile, it arrives whole or not at all. Refused
    /// while `serve` runs on the data directory, and if anything has happened in the other database. Ids,
    /// numbers, cursors and sequences go on there; stations are not connected until they come. The data
    /// directory is only read. Nodes that are started meanwhile wait until it is done.
    ///
    /// The key of the database's secrets is needed, and not carried: every node needs the same.
    #[command(after_help = migrate::HELP)]
    Migrate(migrate::Migrate),
    /// Moves numbers on after PostgreSQL was recovered to an earlier moment
    #[command(subcommand, after_help = counts::HELP)]
    Counts(counts::Counts),
    /// Changes the key of the database's secrets, or continues without a lost one
    #[command(subcommand, after_help = secrets::HELP)]
    Secrets(secrets::Secrets),
    /// Checks the configuration, prints the default one
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the OpenAPI 3.1 document of the REST API, as JSON
    Openapi,
}

/// Where the data directory is.
#[derive(Args)]
struct DatabaseArgs {
    /// Configuration file (TOML) that names the data directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the database [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// URL of the database of PostgreSQL that several gateways share
    #[arg(long, value_name = "URL")]
    store: Option<String>,
}

impl DatabaseArgs {
    fn load(self) -> Result<Config, ConfigError> {
        let Self { config, data_dir, store } = self;
        Settings { config, data_dir, store, ..Settings::default() }.load()
    }

    /// The same for what only the embedded database needs; `instead` says what takes its place elsewhere.
    fn load_embedded(self, instead: &'static str) -> Result<Config, Failure> {
        let config = self.load()?;
        if config.store.is_shared() { Err(Failure::OtherStore(instead)) } else { Ok(config) }
    }

    /// Opens the store if it exists: a mistyped directory must not look like an empty list.
    fn open_existing(self) -> Result<Store, Failure> {
        let config = self.load()?;
        let data_dir = &config.server.data_dir;
        match config.store.address()? {
            Some(address) => match Store::exists_at(&address)? {
                true => Ok(Store::open_shared_beside(&address, data_dir, Clock::System)?),
                false => Err(Failure::NoTables(address.to_string())),
            },
            None if Store::exists_in(data_dir) => Ok(Store::open_beside(data_dir, Clock::System)?),
            None => Err(Failure::NoDatabase(data_dir.clone())),
        }
    }

    /// Opens the store, also beside a running gateway; creates it if there is none.
    fn open(self) -> Result<Store, Failure> {
        let config = self.load()?;
        let data_dir = &config.server.data_dir;
        Ok(match config.store.address()? {
            Some(address) => Store::open_shared_beside(&address, data_dir, Clock::System)?,
            None => Store::open_beside(data_dir, Clock::System)?,
        })
    }
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Says whether `serve` could use this configuration, and names every fault
    ///
    /// Reads what `serve` would read: the file, the CHARGEHOOK_* environment variables and the options.
    #[command(after_help = SETTINGS_HELP)]
    Check {
        /// The TOML file to check; the same as --config
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        #[command(flatten)]
        settings: Box<Settings>,
    },
    /// Prints the default configuration file, every key documented
    ///
    /// To start your own: chargehook config default > chargehook.toml
    Default,
}

/// The settings that are also options. The configuration reads the values and reports errors.
#[derive(Clone, Default, Args)]
struct Settings {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the database and the first admin key [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// URL of a database of PostgreSQL that several gateways share [default: SQLite in the data directory]
    ///
    /// postgres://USER@HOST/DATABASE. Everybody on this machine can see options, so give the password in
    /// CHARGEHOOK_STORE_PASSWORD or in a file (store.password_file).
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// With --store: the name of this gateway among them [default: the machine's, and the OCPP port]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Where chargers connect [default: 127.0.0.1:9000]
    ///
    /// Port 0 takes a free one; the ready line names it.
    #[arg(long, value_name = "ADDR")]
    ocpp_listen: Option<String>,
    /// Where the REST API listens [default: 127.0.0.1:8080]
    ///
    /// Port 0 takes a free one; the ready line names it.
    #[arg(long, value_name = "ADDR")]
    api_listen: Option<String>,
    /// A network that webhooks may use although it is not public (repeatable)
    ///
    /// Loopback, private, link-local and other special addresses are refused without it. For a receiver on
    /// this machine: --allow-network 127.0.0.0/8
    #[arg(long, value_name = "CIDR")]
    allow_network: Vec<String>,
    /// How the log on stderr looks: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// What is logged: a level, or directives such as info,chargehook::delivery=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
}

impl Settings {
    /// Merges these options with their file and the environment.
    fn load(self) -> Result<Config, ConfigError> {
        let networks = (!self.allow_network.is_empty()).then(|| self.allow_network.join(","));
        let overrides = [
            ("--data-dir", "server", "data_dir", self.data_dir),
            ("--store", "store", "url", self.store),
            ("--node", "node", "name", self.node),
            ("--ocpp-listen", "ocpp", "listen", self.ocpp_listen),
            ("--api-listen", "api", "listen", self.api_listen),
            ("--allow-network", "delivery", "allowed_networks", networks),
            ("--log-format", "log", "format", self.log_format),
            ("--log-level", "log", "level", self.log_level),
        ];
        let overrides = overrides
            .into_iter()
            .filter_map(|(option, table, key, value)| Some(Override { option, table, key, value: value? }));
        Config::load(Sources {
            file: self.config,
            env: std::env::vars_os().collect(),
            overrides: overrides.collect(),
        })
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Files(StartError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0} was not accepted: {1}; for more: chargehook why {2}")]
    NotObeyed(String, String, CommandId),
    #[error("{0} stations have not accepted {1}: chargehook bulk stations {2}")]
    NotAllObeyed(u64, String, BulkCommandId),
    #[error("nothing was sent")]
    NotConfirmed,
    #[error(
        "no API key: give --api-key or {API_KEY_VARIABLE}, or --data-dir for a gateway on this machine (there is no \
         key for it in {})",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error("{0}")]
    NoSuchView(&'static str),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("{0}: {1}")]
    Unreadable(String, std::io::Error),
    #[error("the payload: {0}")]
    Payload(String),
    #[error("{0}")]
    NotAsked(String),
    #[error("{0} rows were left out")]
    LeftOut(usize),
    #[error("the endpoint did not take the test event")]
    NotTaken,
    /// The reader of the output, such as `head`, has ended.
    #[error("nobody reads on")]
    NobodyReads,
    #[error("there is no key {0}")]
    NoSuchKey(ApiKeyId),
    #[error("there is no chargehook database in {}", .0.display())]
    NoDatabase(PathBuf),
    #[error("{0} has no tables of chargehook: `serve` makes them")]
    NoTables(String),
    #[error("{0}")]
    OtherStore(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Secrets(#[from] KeyChangeRefused),
    #[error("{0}: {1}")]
    NoSecretsKey(String, NoSecretsKey),
    #[error("nothing was dropped: with --force all of this is")]
    NothingDropped,
    #[error("the process cannot go on: {0}")]
    Process(#[from] std::io::Error),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Files(_)
            | Self::NoKey(_)
            | Self::NoSuchView(_)
            | Self::Payload(_)
            | Self::NotAsked(_)
            | Self::Store(StoreError::Key(_) | StoreError::NotEmpty(_))
            | Self::Backup(
                BackupError::Key(_)
                | BackupError::OtherKey(_)
                | BackupError::Exists(_)
                | BackupError::Taken(_),
            )
            | Self::Serve(ServeError::Start(
                StartError::Tls { .. } | StartError::Store(StoreError::Key(_)),
            ))
            | Self::Secrets(
                KeyChangeRefused::Store(StoreError::Key(_))
                | KeyChangeRefused::NoNextKey
                | KeyChangeRefused::SameKey
                | KeyChangeRefused::NotLost(_)
                | KeyChangeRefused::NotSealed,
            )
            | Self::NoSecretsKey(..)
            | Self::NothingDropped
            | Self::OtherStore(_)
            | Self::Key(KeyError::Wrong(_))
            | Self::Serve(ServeError::FirstKey(KeyError::Unusable(_))) => ExitCode::from(2),
            _ => ExitCode::from(1),
        }
    }
}

/// Runs the program with the arguments of the process. Exits with 0; with 2 for a usage or configuration
/// error; with 1 for any other failure.
pub fn run() -> ExitCode {
    // On wrong usage clap explains it and exits with 2.
    match dispatch(Cli::parse().command) {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.to_string().lines() {
                // If stderr is gone, nothing can be reported.
                let _ = writeln!(std::io::stderr(), "error: {line}");
            }
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(settings) => runtime()?.block_on(async {
            // First of all, because an early SIGHUP must not end the process.
            let signals = serve::Signals::listen()?;
            let config = settings.clone().load()?;
            let filter = telemetry::start(&config.log)?;
            Ok(serve::run(config, signals, Reloads::new(filter, move || settings.clone().load())).await?)
        }),
        Command::Demo { forever } => {
            backup::warnings_only()?;
            Ok(runtime()?.block_on(demo::run(forever))?)
        }
        Command::Listen(listening) => runtime()?.block_on(listen::run(listening)),
        Command::Status(asked) => runtime()?.block_on(status::run(asked)),
        Command::Stations(asked) => runtime()?.block_on(stations::run(asked)),
        Command::Connectors(asked) => runtime()?.block_on(connectors::run(asked)),
        Command::Transactions(asked) => runtime()?.block_on(transactions::run(asked)),
        Command::IdTags(asked) => runtime()?.block_on(id_tags::run(asked)),
        Command::Reports(asked) => runtime()?.block_on(reports::run(asked)),
        Command::Nodes(gateway) => runtime()?.block_on(nodes::run(gateway)),
        Command::Audit(asked) => runtime()?.block_on(audit::run(asked)),
        Command::Events(asked) => runtime()?.block_on(events::run(asked)),
        Command::Deliveries(asked) => runtime()?.block_on(deliveries::run(asked)),
        Command::Webhooks(asked) => runtime()?.block_on(webhooks::run(asked)),
        Command::Why(asked) => runtime()?.block_on(why::run(asked)),
        Command::Commands(asked) => runtime()?.block_on(commands::run(asked)),
        Command::Reservations(asked) => runtime()?.block_on(reservations::run(asked)),
        Command::Send(order) => runtime()?.block_on(command::send(*order)),
        Command::Bulk(asked) => runtime()?.block_on(bulk::run(asked)),
        Command::Backup(order) => backup::back_up(order),
        Command::Restore(order) => backup::restore(order),
        Command::Migrate(asked) => migrate::run(asked),
        Command::Counts(asked) => counts::run(asked),
        Command::Secrets(asked) => secrets::run(asked),
        Command::Keys(asked) => runtime()?.block_on(keys::run(asked)),
        Command::Openapi => print(&format!("{:#}\n", http::openapi_document())),
        Command::Config(ConfigCommand::Default) => print(DEFAULT_FILE),
        Command::Config(ConfigCommand::Check { file, mut settings }) => {
            settings.config = settings.config.or(file);
            let checked = match &settings.config {
                Some(path) => path.display().to_string(),
                None => "defaults, environment and options".to_owned(),
            };
            let doubt =
                gateway::check_files(&settings.load()?, Clock::System.now()).map_err(Failure::Files)?;
            if let Some(doubt) = doubt {
                hint(&format!("{checked}: {doubt}"));
            }
            print(&format!("{checked}: no faults\n"))
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
        written => Ok(written?),
    }
}

/// Prints a hint to stderr, so that it is not part of the output.
fn hint(text: &str) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
