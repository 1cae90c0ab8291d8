//! `chargehook secrets`: changes the key that encrypts the database's secrets, or gives up a lost one.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::backup::warnings_only;
use super::table::{Table, whole};
use super::{DatabaseArgs, Failure, print};
use crate::config::Config;
use store::{self, KeyChanged, Losses, NEW_KEY_VARIABLE, Residue, SecretsKey, Store};
use vocabulary::clock::Clock;

pub(super) const HELP: &str = "\
Examples:
  chargehook secrets change-key --data-dir ./data
  CHARGEHOOK_NEW_SECRETS_KEY=$(openssl rand -hex 32) chargehook secrets change-key
  chargehook secrets drop";

/// The arguments of `secrets`.
#[derive(Subcommand)]
pub(super) enum Secrets {
    /// Encrypts the secrets with another key; the old one does not open them any more
    ///
    /// Refused while `serve` runs there. A key file is replaced by a new one and kept beside it, because
    /// earlier backups need it. A key of your own, in CHARGEHOOK_NEW_SECRETS_KEY or --new-key-file, is used
    /// as it is: configure it in place of the old one afterwards. If this is killed, all secrets are under
    /// one of the two keys: run it again, or start `serve`, to find out which. The database file is
    /// rewritten, which needs the space of a second one meanwhile.
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
    /// nothing is sent unsigned. Passwords of stations and API keys are stored as hashes and stay. This
    /// cannot be undone, so make a `backup` first if the key may still be found.
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
            let config = existing(place)?;
            let next = next_key(new_key_file.as_deref())?;
            change(&config, next)
        }
        Secrets::Drop { force, place } => drop_lost(&existing(place)?, force),
    }
}

fn existing(place: DatabaseArgs) -> Result<Config, Failure> {
    let config = place.load_embedded(
        "secrets changes the key of the embedded database only; the one of store.url keeps the key that it began with",
    )?;
    if !Store::exists_in(&config.server.data_dir) {
        return Err(Failure::NoDatabase(config.server.data_dir));
    }
    warnings_only()?;
    Ok(config)
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

fn change(config: &Config, next: Option<SecretsKey>) -> Result<(), Failure> {
    let data_dir = &config.server.data_dir;
    let (changed, left) = store::change_key(data_dir, &config.secrets_key(), next, &Clock::System)?;
    let mut text = format!("{}: the secrets are sealed under another key now\n", data_dir.display());
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

fn drop_lost(config: &Config, force: bool) -> Result<(), Failure> {
    let (data_dir, source) = (&config.server.data_dir, config.secrets_key());
    if !force {
        print(&told(&store::losses(data_dir, &source)?))?;
        return Err(Failure::NothingDropped);
    }
    let (losses, left) = store::drop_secrets(data_dir, &source, &Clock::System)?;
    let text = format!("dropped; the secrets are sealed with {source} from now on: keep a copy of that\n");
    print(&format!("{}{text}{}", told(&losses), residue(left)))
}

fn residue(left: Residue) -> &'static str {
    match left {
        Residue::Gone => "",
        Residue::Left => "the file of the database is not written anew yet: the next start does it\n",
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
