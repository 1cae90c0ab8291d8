//! `chargehook migrate`: carries a data directory over to a database of PostgreSQL.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::backup::warnings_only;
use super::table::{Table, whole};
use super::{Failure, hint, print};
use crate::config::{Config, ConfigError, Override, Sources};
use store::{self, Address, KeySource, Migrated, Migration, MigrationProgress, Store, StoreSettings};
use vocabulary::clock::Clock;

pub(super) const HELP: &str = "\
Examples:
  chargehook migrate --to postgres://chargehook@db.example.com/chargehook --data-dir ./data
  CHARGEHOOK_STORE_PASSWORD=… chargehook migrate --to postgres://chargehook@db.example.com/chargehook";

/// Settings of the database that is carried over to are not of the one that is carried.
const STORE_VARIABLES: &str = "CHARGEHOOK_STORE_";

/// How often progress is told where it cannot be drawn.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The arguments of `migrate`.
#[derive(Args)]
pub(super) struct Migrate {
    /// URL of the database of PostgreSQL: postgres://USER@HOST/DATABASE
    ///
    /// Everybody on this machine can see options, so give the password in CHARGEHOOK_STORE_PASSWORD, or its
    /// file in CHARGEHOOK_STORE_PASSWORD_FILE.
    #[arg(long, value_name = "URL")]
    to: String,
    /// Configuration file (TOML) that names the data directory and where the key of its secrets is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the embedded database [default: ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl Migrate {
    /// The configuration of the gateway that is carried over.
    fn embedded(&self) -> Result<Config, ConfigError> {
        let data_dir = self.data_dir.clone().map(|value| Override {
            option: "--data-dir",
            table: "server",
            key: "data_dir",
            value,
        });
        Config::load(Sources {
            file: self.config.clone(),
            env: variables(|is_of_store| !is_of_store),
            overrides: data_dir.into_iter().collect(),
        })
    }

    /// Where it goes. What the file says of a password may be meant for it: the file may be the nodes'
    /// already.
    fn address(&self, of_file: &StoreSettings) -> Result<Address, Failure> {
        let to = Override { option: "--to", table: "store", key: "url", value: self.to.clone() };
        let mut env = variables(|is_of_store| is_of_store);
        env.retain(|(name, _)| name.to_str() != Some("CHARGEHOOK_STORE_URL"));
        let mut settings = Config::load(Sources { file: None, env, overrides: vec![to] })?.store;
        if settings.password.is_none() && settings.password_file.is_none() {
            settings.password = of_file.password.clone();
            settings.password_file = of_file.password_file.clone();
        }
        settings
            .address()?
            .ok_or(Failure::OtherStore("migrate needs a database of PostgreSQL: --to postgres://…"))
    }
}

/// Environment variables, those of the store or the others.
fn variables(wanted: impl Fn(bool) -> bool) -> Vec<(OsString, OsString)> {
    let is_of_store = |name: &OsString| name.to_string_lossy().starts_with(STORE_VARIABLES);
    std::env::vars_os().filter(|(name, _)| wanted(is_of_store(name))).collect()
}

/// Carries it over, and says what comes next.
pub(super) fn run(asked: Migrate) -> Result<(), Failure> {
    let config = asked.embedded()?;
    let to = asked.address(&config.store)?;
    let (data_dir, key) = (&config.server.data_dir, config.secrets_key());
    if !Store::exists_in(data_dir) {
        return Err(Failure::NoDatabase(data_dir.clone()));
    }
    warnings_only()?;
    let began = Instant::now();
    let mut shown = Shown::new();
    let migration = Migration { data_dir, key: &key, to: &to };
    let Migrated { tables, sealed } =
        store::migrate(&migration, &Clock::System, &mut |progress| shown.show(progress))?;
    shown.bar.finish_and_clear();
    let (rows, took) = (tables.iter().map(|(_, rows)| rows).sum::<u64>(), began.elapsed().as_secs_f64());
    let lines = tables.into_iter().map(|(table, rows)| [table, rows.to_string()]);
    let mut text = Table::new(["TABLE", "ROWS"].map(whole)).lines(lines);
    text += &format!("{rows} rows are in {to}, all of them or none, counted again there, in {took:.1} s\n");
    text += &match key {
        _ if !sealed => String::new(),
        KeySource::File(path) => format!(
            "every node needs the key of its secrets, which is not in it: {} ([secrets] key_file, CHARGEHOOK_SECRETS_KEY)\n",
            path.display()
        ),
        KeySource::Given(_) => {
            "every node needs the key of its secrets, which is not in it: the one in the configuration\n"
                .to_owned()
        }
    };
    text += &format!(
        "{} is as it was. Start no `serve` on it again: chargers would be told the same numbers twice, and nobody could \
         bring the two histories together. Start the nodes with --store, and keep it until they run\n",
        data_dir.display()
    );
    print(&text)
}

/// The progress on stderr: a bar on a terminal, else a line now and then.
struct Shown {
    bar: ProgressBar,
    /// The table that was told of last, and when.
    told: Option<(String, Instant)>,
}

impl Shown {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:30} {percent} %, {eta} left");
        let bar = ProgressBar::new(0);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, told: None }
    }

    fn show(&mut self, progress: MigrationProgress<'_>) {
        let (what, text) = match progress {
            MigrationProgress::Upgrading => (
                "upgrade",
                "the database is of an earlier version: it is upgraded first, and a copy of it kept"
                    .to_owned(),
            ),
            MigrationProgress::Copying { of: 0, .. } => return,
            MigrationProgress::Copying { table, rows, of, done, total } => {
                self.bar.set_length(total);
                self.bar.set_position(done);
                let percent = (done * 100).checked_div(total).unwrap_or(100);
                self.bar.set_message(format!("{table}: {rows} of {of} rows"));
                (table, format!("{table}: {rows} of {of} rows, {percent} % of all"))
            }
            MigrationProgress::Indexing { done, total } => {
                self.bar.set_length(total as u64);
                self.bar.set_position(done as u64);
                self.bar.set_message("indexes");
                ("indexes", format!("indexes: {done} of {total}, {} %", done * 100 / total.max(1)))
            }
        };
        let is_news = self.told.as_ref().is_none_or(|(told, at)| told != what || at.elapsed() >= TOLD_EVERY);
        if self.bar.is_hidden() && is_news {
            hint(&text);
            self.told = Some((what.to_owned(), Instant::now()));
        }
    }
}
