//! `chargehook secrets`: changes the key that encrypts the database's secrets, or gives up a lost one.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::backup::warnings_only;
use super::table::{Table, whole};
use super::{DatabaseArgs, Failure, print};
use crate::config::Config;
use store::{
    self, Address, KeyChanged, KeySource, Losses, NEW_KEY_VARIABLE, Place, Residue, SecretsKey, Store,
};
use vocabulary::clock::Clock;

pub(super) const HELP: &str = "\
Examples:
  chargehook secrets change-key --data-dir ./data
  CHARGEHOOK_NEW_SECRETS_KEY=$(openssl rand -hex 32) chargehook secrets change-key
  chargehook secrets change-key --store postgres://chargehook@db.example.com/chargehook
  chargehook secrets drop";

/// The arguments of `secrets`.
#[derive(Subcommand)]
pub(super) enum Secrets {
    /// Encrypts the secrets with another key; the old one does not open them any more
    ///
    /// Refused while `serve` runs there, or while nodes are active on the database of --store; every node
    /// needs the new key before it starts again. A key file is replaced by a new one and kept beside it,
    /// because earlier backups need it. A key of your own, in CHARGEHOOK_NEW_SECRETS_KEY or --new-key-file,
    /// is used as it is: configure it in place of the old one afterwards. If this is killed, all secrets are
    /// under one of the two keys: run it again, or start `serve`, to find out which. The file of an embedded
    /// database is rewritten, which needs the space of a second one meanwhile.
    ChangeKey {
        /// The file with a key of your own: 64 hex digits, or the base64 of 32 bytes
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        #[command(flatten)]
        place: DatabaseArgs,
    },
    /// Gives up the secrets that only a lost key would open, and keeps the rest
    ///
    /// Without --force it lists them and changes nothing. Webhooks get a new signing secret and are paused
    /// until you have informed their receivers, set their secret values and headers again, and resumed them:
    /// nothing is sent unsigned. Passwords of stations and API keys are stored as hashes and stay. Refused
    /// while `serve` runs there, or while nodes are active on the database of --store. This cannot be undone,
    /// so make a `backup` (of PostgreSQL: pg_dump) first if the key may still be found.
    Drop {
        /// Does it
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: DatabaseArgs,
    },
}

/// Runs the command.
pub(super) fn run(asked: Secrets) -> Result<(), Failure> {
    match asked {
        Secrets::ChangeKey { new_key_file, place } => {
            let database = Database::existing(place)?;
            let next = next_key(new_key_file.as_deref())?;
            change(&database, next)
        }
        Secrets::Drop { force, place } => drop_lost(&Database::existing(place)?, force),
    }
}

/// A database with secrets, and where their key is.
struct Database {
    config: Config,
    /// `None`: it is in the data directory.
    address: Option<Address>,
}

impl Database {
    fn existing(place: DatabaseArgs) -> Result<Self, Failure> {
        let config = place.load()?;
        let address = config.store.address()?;
        warnings_only()?;
        match &address {
            Some(address) if !Store::exists_at(address)? => {
                return Err(Failure::NoTables(address.to_string()));
            }
            None if !Store::exists_in(&config.server.data_dir) => {
                return Err(Failure::NoDatabase(config.server.data_dir));
            }
            _ => {}
        }
        Ok(Self { config, address })
    }

    fn place(&self) -> Place<'_> {
        match &self.address {
            Some(address) => Place::Shared(address),
            None => Place::Directory(&self.config.server.data_dir),
        }
    }

    fn key(&self) -> KeySource {
        self.config.secrets_key()
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => address.fmt(f),
            None => self.config.server.data_dir.display().fmt(f),
        }
    }
}

/// The new key, if one is given; an empty variable means none.
fn next_key(file: Option<&Path>) -> Result<Option<SecretsKey>, Failure> {
    let (named, text) = match file {
        Some(path) => {
            let named = path.display().to_string();
            let text = std::fs::read(path).map_err(|error| Failure::Unreadable(named.clone(), error))?;
            (named, text)
        }
        None => match std::env::var_os(NEW_KEY_VARIABLE).filter(|text| !text.is_empty()) {
            Some(text) => (NEW_KEY_VARIABLE.to_owned(), text.into_encoded_bytes()),
            None => return Ok(None),
        },
    };
    let key = std::str::from_utf8(&text).unwrap_or_default().parse();
    key.map(Some).map_err(|fault| Failure::NoSecretsKey(named, fault))
}

fn change(database: &Database, next: Option<SecretsKey>) -> Result<(), Failure> {
    let (changed, left) = store::change_key(database.place(), &database.key(), next, &Clock::System)?;
    let mut text = format!("{database}: the secrets are sealed under another key now\n");
    match changed {
        KeyChanged::InPlace { file, before } => {
            text += &format!("the key: {}; keep a copy of it apart from the database\n", file.display());
            if let Some(before) = before {
                text += &format!(
                    "the key before is kept, for the backups that were made until now: {}; without them, remove it\n",
                    before.display()
                );
            }
        }
        KeyChanged::Given => {
            text += "the key is the one that was given: put it where the one before is configured ([secrets] key or \
                     key_file, CHARGEHOOK_SECRETS_KEY) before the next start, and keep that for older backups\n";
        }
    }
    print(&(text + residue(left)))
}

fn drop_lost(database: &Database, force: bool) -> Result<(), Failure> {
    let source = database.key();
    if !force {
        print(&told(&store::losses(database.place(), &source)?))?;
        return Err(Failure::NothingDropped);
    }
    let (losses, left) = store::drop_secrets(database.place(), &source, &Clock::System)?;
    let text = format!("dropped; the secrets are sealed with {source} from now on: keep a copy of that\n");
    print(&format!("{}{text}{}", told(&losses), residue(left)))
}

fn residue(left: Residue) -> &'static str {
    match left {
        Residue::Gone => "",
        Residue::Left => "the file of the database is not written anew yet: the next start does it\n",
        Residue::UntilVacuum => {
            "every node needs this key before it starts again\nwhat the key before opens stays in the files of PostgreSQL \
             until VACUUM FULL, in its write-ahead log and in its backups\n"
        }
    }
}

/// The losses, in the order of the work they cause.
fn told(losses: &Losses) -> String {
    let Losses { webhooks, deliveries, commands, events, requests } = losses;
    let mut text = String::new();
    if !webhooks.is_empty() {
        text += "webhooks that get a new signing secret and wait until they are resumed; the rest they need from you:\n";
        let rows = webhooks.iter().map(|webhook| {
            let status = webhook.status.to_string();
            [webhook.id.to_string(), webhook.name.clone(), status, webhook.lost().join(", ")]
        });
        text += &Table::new(["ID", "NAME", "STATUS", "LOST"].map(whole)).lines(rows);
    }
    for (count, what) in [
        (deliveries, "deliveries to URLs of events, or with headers of events, are canceled"),
        (commands, "commands that bring a station its new password are canceled: send them again"),
        (events, "events lose their own headers: sent again, they go without"),
        (
            requests,
            "answers to requests with an Idempotency-Key: repeated, the requests are carried out again",
        ),
    ] {
        if *count > 0 {
            text += &format!("{count} {what}\n");
        }
    }
    text + "passwords of stations and API keys stay as they are\n"
}
