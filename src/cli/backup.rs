//! `chargehook backup` and `restore`: the database and the key of its secrets.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tracing::Level;

use super::{DatabaseArgs, Failure, print};
use crate::telemetry::{self, Log, LogLevel};
use store::{self, CopyProgress, KeySource, Restore, Restored, Steps, Store};
use vocabulary::clock::Clock;

/// The arguments of `backup`.
#[derive(Args)]
pub(super) struct BackupArgs {
    /// The file to write, or a directory for a file named after the time
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Writes the key of the database's secrets too, to this file (mode 0600)
    ///
    /// Keep it separate from the backup: both together reveal the secrets.
    #[arg(long, value_name = "FILE")]
    with_key: Option<PathBuf>,
    #[command(flatten)]
    place: DatabaseArgs,
}

/// The arguments of `restore`.
#[derive(Args)]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// The file with the key of the backup's secrets, to be installed too
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Replaces the existing database, which is kept beside the new one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: DatabaseArgs,
}

/// Makes a backup, and says what is not in it.
pub(super) fn back_up(args: BackupArgs) -> Result<(), Failure> {
    let config = args.place.load_embedded(
        "backup copies the embedded database. The one of store.url is backed up with PostgreSQL's own tools: pg_dump, or \
         a base backup with its write-ahead log for a recovery to any moment (PITR). Keep a copy of the secrets' key \
         apart from it. After a recovery: `chargehook counts advance`",
    )?;
    let (data_dir, key) = (&config.server.data_dir, config.secrets_key());
    if !Store::exists_in(data_dir) {
        return Err(Failure::NoDatabase(data_dir.clone()));
    }
    warnings_only()?;
    if let Some(path) = &args.with_key {
        store::copy_key(data_dir, &key, path)?;
    }
    let bar = Bar::new("copying");
    let made = store::back_up(data_dir, &args.to, Clock::System.now(), &mut |copied| bar.show(copied))?;
    bar.done();
    let mut text = format!("{}: {} bytes, checked\n", made.path.display(), made.bytes);
    text += &match (&args.with_key, key) {
        (Some(path), _) => format!("the key of its secrets: {}, to be kept apart from it\n", path.display()),
        (None, _) if !made.sealed => {
            "nothing in it is sealed: it holds its secrets in the clear\n".to_owned()
        }
        (None, KeySource::File(path)) => format!(
            "the key of its secrets is not in it: {}; keep a copy of that elsewhere, a restore needs both\n",
            path.display()
        ),
        (None, KeySource::Given(_)) => {
            "the key of its secrets is not in it: it is in the configuration, and a restore needs both\n"
                .to_owned()
        }
    };
    print(&text)
}

/// Restores a backup, and says what that means.
pub(super) fn restore(args: RestoreArgs) -> Result<(), Failure> {
    let config = args.place.load_embedded(
        "restore replaces the embedded database. The one of store.url is restored with PostgreSQL's own tools, while no \
         node runs: psql or pg_restore for what pg_dump has written, or a recovery to a moment (PITR). Then, before \
         the first node starts, `chargehook counts advance` moves on the numbers that were given out since",
    )?;
    let key = config.secrets_key();
    warnings_only()?;
    let bar = Bar::new("copying");
    let data_dir = &config.server.data_dir;
    let restored = store::restore(
        &Restore {
            from: &args.from,
            data_dir,
            key: &key,
            key_file: args.key_file.as_deref(),
            force: args.force,
        },
        &Clock::System,
        &mut |copied| bar.show(copied),
    )?;
    bar.done();
    let Restored { backup_at, steps, key_written, replaced } = restored;
    let mut text = format!("{}: the database of {backup_at}\n", data_dir.display());
    text += &passed_over(steps);
    if let Some(path) = key_written {
        text += &format!("the key of its secrets was written to {}\n", path.display());
    }
    if let Some(path) = replaced {
        text += &format!("the database that was there is kept: {}\n", path.display());
    }
    text += AS_IT_WAS;
    print(&text)
}

/// What else a step back means.
pub(super) const AS_IT_WAS: &str =
    "what was changed since is as it was: look at API keys that were revoked, and at stations' passwords\n";

/// Numbers that nobody gets, because somebody may have them.
pub(super) fn passed_over(steps: Steps) -> String {
    format!(
        "passed over, as they may have been used since: {} transaction ids, {} numbers of each station's events, {} of \
         each webhook's deliveries and of the rows of every table, {} numbers of webhooks, {} epochs of gateways\n",
        steps.transaction_ids, steps.station_seq, steps.webhook_sequence, steps.webhooks, steps.epochs
    )
}

/// Logs warnings only, because these commands are no services.
pub(super) fn warnings_only() -> Result<(), Failure> {
    telemetry::start(&Log { level: LogLevel::from_level(Level::WARN), ..Log::default() })?;
    Ok(())
}

/// The progress of a copy on stderr, where that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(what: &'static str) -> Self {
        let style =
            ProgressStyle::with_template("{msg} {bar:30} {binary_bytes} of {binary_total_bytes}, {eta} left");
        let bar = ProgressBar::new(0).with_message(what);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    fn show(&self, copied: CopyProgress) {
        self.0.set_length(copied.total_bytes);
        self.0.set_position(copied.done_bytes);
    }

    fn done(&self) {
        self.0.finish_and_clear();
    }
}
