//! `charger-sim`: simulated OCPP 1.6-J chargers, one that behaves or thousands that make load.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use charger_sim::connection::{Credentials, Endpoint};
use charger_sim::console::{Console, Style, write_line};
use charger_sim::director::Director;
use charger_sim::load::{self, Counters, LoadOptions};
use charger_sim::options::Fault;
use charger_sim::scenario::Scenario;
use charger_sim::session;
use charger_sim::trust::Trust;
use charger_sim::{ChargerOptions, Sessions, progress};
use clap::Parser;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vocabulary::id::StationId;
use vocabulary::units::Span;

/// Simulated OCPP 1.6-J chargers.
///
/// Without --count, one charger that behaves like a real one: it boots, reports its connectors, sends
/// heartbeats, charges one car after the other, obeys the central system's commands, keeps what
/// it could not say and says it after reconnecting. It runs until Ctrl-C, or for --sessions N.
/// It answers every command of OCPP 1.6 and its security extension from real state.
///
/// With --scenario, a charger that is taken through the steps of a file; with --interactive, through
/// what is typed, or piped in (`help` lists the steps).
///
/// With --count, a load of many simple chargers, and a summary of how fast they were answered.
#[derive(Parser)]
#[command(name = "charger-sim", version, after_help = EXAMPLES)]
struct Args {
    /// Central system; the charger's identity is appended to the path.
    #[arg(long, default_value = "ws://127.0.0.1:9000/ocpp", value_parser = Endpoint::parse)]
    url: Endpoint,
    /// Identity of the charger; with --count, what identities begin with (SIM_00001, …).
    #[arg(long, default_value = "SIM_1")]
    id: StationId,
    /// Password for Basic authentication; the identity is the user name.
    #[arg(long, env = "CHARGER_SIM_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Root certificates (PEM) that a wss:// central system is known by.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The charger's certificate (PEM, with its chain), for security profile 3.
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "count")]
    cert: Option<PathBuf>,
    /// The key of --cert (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Where security profiles 2 and 3 are spoken, for a charger that is told to change to one
    /// [default: --url as wss://].
    #[arg(long, value_name = "URL", value_parser = encrypted_endpoint, conflicts_with = "count")]
    tls_url: Option<Endpoint>,
    /// Tag that drivers hold against the reader.
    #[arg(long, default_value = "TAG_1", value_parser = id_tag)]
    id_tag: String,
    /// Print JSON: a line per event, or the summary of a load.
    #[arg(long)]
    json: bool,
    /// Print problems and the summary only.
    #[arg(long, conflicts_with = "json")]
    quiet: bool,

    /// Number of connectors.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "One charger")]
    connectors: u32,
    /// Charge so many cars, then leave; 0: none, and wait for RemoteStartTransaction [default: no end].
    #[arg(long, value_name = "N", help_heading = "One charger")]
    sessions: Option<u64>,
    /// How long a car charges.
    #[arg(long, default_value = "60s", help_heading = "One charger")]
    session_duration: Span,
    /// MeterValueSampleInterval to begin with; the central system can change it.
    #[arg(long, default_value = "10s", help_heading = "One charger")]
    sample_interval: Span,
    /// How long the bay stays empty between two cars.
    #[arg(long, default_value = "5s", help_heading = "One charger")]
    pause: Span,
    /// Charge so many times faster than real, with timestamps that begin in the past to match.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = time_scale, help_heading = "One charger")]
    time_scale: f64,
    /// The cables are part of the charger: UnlockConnector is answered NotSupported.
    #[arg(long, help_heading = "One charger")]
    fixed_cables: bool,
    /// Misbehave: drop connections, be slow, send malformed frames, send duplicates.
    #[arg(long, value_name = "drop|slow|malformed|duplicate", help_heading = "One charger")]
    fault: Option<Fault>,
    /// Take the charger through the steps of a TOML file, then leave.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sessions", "count", "interactive", "time_scale"], help_heading = "One charger")]
    scenario: Option<PathBuf>,
    /// Take steps from the terminal, or from a pipe.
    #[arg(long, conflicts_with_all = ["sessions", "count", "time_scale"], help_heading = "One charger")]
    interactive: bool,

    /// Make load with so many chargers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["sessions", "fault"], help_heading = "Load")]
    count: Option<u32>,
    /// Calls per second of all chargers together; 0: each as soon as the last one was answered.
    #[arg(long, default_value_t = 0.0, value_name = "R", value_parser = rate, requires = "count", help_heading = "Load")]
    rate: f64,
    /// How long to measure, once all chargers are connected.
    #[arg(long, default_value = "10s", requires = "count", help_heading = "Load")]
    duration: Span,
    /// New connections per second.
    #[arg(long, default_value_t = 500.0, value_name = "R", value_parser = rate, requires = "count", help_heading = "Load")]
    connect_rate: f64,
    /// Connect and boot, then say nothing: to see what idle chargers cost.
    #[arg(long, requires = "count", conflicts_with = "rate", help_heading = "Load")]
    idle: bool,
}

const EXAMPLES: &str = "\
Examples:
  charger-sim --id WALLBOX_001 --sessions 1 --session-duration 30s --sample-interval 5s
      one charger, one car, then done
  charger-sim --sessions 1 --session-duration 40m --sample-interval 5m --time-scale 300
      a session of 40 minutes in 8 seconds
  charger-sim --sessions 0
      a charger that waits for remote starts
  charger-sim --scenario examples/scenario-session.toml
      a script: what drivers do, and what has to come of it
  charger-sim --interactive
      plug 1, tag ABC, status, unplug 1, quit; help lists the rest
  charger-sim --id SIM --count 1000 --rate 2000 --duration 30s
      a thousand chargers, 2,000 calls per second
  charger-sim --url wss://localhost:9443/ocpp --ca ca.pem --password secret12
      security profile 2; with --cert and --key in place of the password, 3
  charger-sim --id SIM --count 5000 --idle --duration 60s
      five thousand silent chargers

What commands depend on here:
  RemoteStartTransaction waits ConnectionTimeOut for a cable. Reservations, the local list, charging
  profiles, settings and certificates are kept and obeyed; profiles limit the power.
  Firmware and logs go through their statuses, but nothing is really fetched or sent. A location that
  ends in download-failed, installation-failed or upload-failed fails so; the signature `invalid`
  is InvalidSignature; a signing certificate must be PEM.
  DataTransfer: vendor chargehook.sim, message echo.
  AuthorizationKey and SecurityProfile make the charger come back with them, by wss:// for profiles 2
  and 3; a profile or a certificate that leads to no connection is taken back. SignChargePointCertificate
  makes it ask for a certificate, for a new key on P-256 each time. Nothing outlasts the program.

Exit codes: 0 done, 1 a step failed or (load) nothing was answered, 2 wrong usage.";

fn id_tag(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=20 if !text.chars().any(|c| c.is_control() || c == '"' || c == '\\') => Ok(text.to_owned()),
        _ => Err("a tag has 1 to 20 characters, no quotes and no backslashes".to_owned()),
    }
}

fn encrypted_endpoint(text: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::parse(text).map_err(|error| error.to_string())?;
    if endpoint.is_encrypted() { Ok(endpoint) } else { Err("a wss:// URL is due here".to_owned()) }
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (0.0..=10_000_000.0).contains(rate))
        .ok_or_else(|| "not a rate".to_owned())
}

fn time_scale(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|scale| (1.0..=100_000.0).contains(scale))
        .ok_or_else(|| "a factor from 1 to 100000".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    // One thread is enough for either mode, and leaves the others to what is measured.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            write_line(&format!("no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let on_signal = stop.clone();
        tokio::spawn(async move {
            until_signal().await;
            on_signal.cancel();
        });
        match args.count {
            Some(count) => run_load(args, count as usize, stop).await,
            None => run_one(args, stop).await,
        }
    })
}

/// Ends with Ctrl-C, or with SIGTERM where there is one.
async fn until_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Reads the files of `--ca`, `--cert` and `--key`; says what is wrong with them.
fn read_trust(args: &Args) -> Result<Trust, ExitCode> {
    let own = args.cert.as_deref().zip(args.key.as_deref());
    let trust = Trust::read(args.ca.as_deref(), own).map_err(|error| error.to_string());
    let usable = trust.and_then(|trust| match trust.client_config() {
        Ok(_) => Ok(trust),
        Err(error) => Err(format!("--ca, --cert and --key cannot be used: {error}")),
    });
    usable.map_err(|error| {
        write_line(&error);
        ExitCode::from(2)
    })
}

async fn run_one(args: Args, stop: CancellationToken) -> ExitCode {
    let trust = match read_trust(&args) {
        Ok(trust) => trust,
        Err(code) => return code,
    };
    let mut options = ChargerOptions::new(args.url, args.id);
    options.trust = trust;
    options.encrypted_endpoint = args.tls_url;
    options.password = args.password.map(String::into_bytes);
    options.connectors = args.connectors;
    options.id_tag = args.id_tag;
    options.sessions = match args.sessions {
        None => Sessions::Endless,
        Some(0) => Sessions::OnlyRemote,
        Some(count) => Sessions::Count(count),
    };
    options.session_duration = args.session_duration.0;
    options.sample_interval = args.sample_interval.0;
    options.pause = args.pause.0;
    options.time_scale = args.time_scale;
    options.fault = args.fault;
    options.fixed_cables = args.fixed_cables;
    let console = Console::new(style(args.json, args.quiet));
    let station = options.id.clone();
    let show = |station: &StationId, notice: &_| console.show(station, notice);
    let (summary, failures) = match (args.scenario, args.interactive) {
        (Some(file), _) => {
            let scenario = match Scenario::read(&file) {
                Ok(scenario) => scenario,
                Err(error) => {
                    write_line(&error.to_string());
                    return ExitCode::from(2);
                }
            };
            scenario.apply(&mut options);
            session::run_directed(options, Director::scripted(scenario.steps), None, stop, show).await
        }
        (None, true) => {
            options.sessions = Sessions::ByHand;
            session::run_directed(options, Director::live(), Some(typed_lines()), stop, show).await
        }
        (None, false) => (session::run(options, stop, show).await, 0),
    };
    console.summarize(&station, &summary);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The lines of the standard input. A thread of their own reads them: a read from a terminal cannot be
/// broken off, and must not keep the program from leaving.
fn typed_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, lines) = mpsc::unbounded_channel();
    if io::stdin().is_terminal() {
        write_line("type steps such as `plug 1`, `tag ABC`, `status`; `help` lists them");
    }
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn run_load(args: Args, count: usize, stop: CancellationToken) -> ExitCode {
    let trust = match read_trust(&args) {
        Ok(trust) => trust,
        Err(code) => return code,
    };
    let mut options = LoadOptions::new(args.url, args.id.as_str(), count);
    let tls = (!trust.roots.is_empty()).then(|| trust.client_config().ok()).flatten();
    options.credentials = Credentials { password: args.password.map(String::into_bytes), tls };
    options.id_tag = args.id_tag;
    options.rate = args.rate;
    options.duration = args.duration.0;
    options.connect_rate = args.connect_rate;
    options.idle = args.idle;
    let counters = Arc::new(Counters::default());
    let shown = progress::show(&options, Arc::clone(&counters), args.quiet || args.json);
    let report = tokio::select! {
        report = load::run(options.clone(), counters, stop) => report,
        () = shown => unreachable!("the progress bar never ends by itself"),
    };
    match report {
        Ok(report) => {
            match args.json {
                true => write_line(&serde_json::to_string(&report).unwrap_or_default()),
                false => write_line(&report.to_string()),
            }
            if report.total_answered > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            write_line(&format!("--id {}: {error}", options.prefix));
            ExitCode::from(2)
        }
    }
}

fn style(json: bool, quiet: bool) -> Style {
    match (json, quiet) {
        (true, _) => Style::Json,
        (false, true) => Style::Quiet,
        (false, false) => Style::Text,
    }
}
