//! `chargehook keys`: creates, lists and revokes API keys, on the data directory or through a gateway.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::remote::{DATA_DIR_VARIABLE, Remote};
use super::session::{Paging, Session};
use super::table::{Column, Table, cut, listed, or_dash, time, whole};
use super::view::View;
use super::{DatabaseArgs, Failure, input, print};
use crate::client::URL_VARIABLE;
use crate::keys::{self, KeyError};
use vocabulary::api::Page;
use vocabulary::api::access::{ApiKey, ApiKeyInput};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::id::ApiKeyId;

pub(super) const HELP: &str = "\
Where the keys are kept: with --url or --api-key it is the gateway that answers there, and a key with the scope \
admin is needed. Else it is the data directory (--data-dir, --config) or the database that gateways share \
(--store), also while `serve` runs there; if none is named and CHARGEHOOK_URL is set, it is that gateway.

Examples:
  chargehook keys create --name billing --scopes read,write --owner acme
  chargehook keys create --name visit --scopes read --expires 30d
  chargehook keys list --url https://gateway.example.com --api-key chk_…
  chargehook keys revoke key_01jrs0m6nxk3v1c8d9e0f2g4h6";

/// The arguments of `keys`.
#[derive(Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    task: Task,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    view: View,
}

#[derive(Subcommand)]
enum Task {
    /// Creates a key and prints only the key on stdout; it is never shown again
    Create(NewKey),
    /// Lists all keys, the oldest first, without the keys themselves
    List(Filter),
    /// Revokes a key at once
    Revoke {
        /// The key's id, as `list` shows it
        id: ApiKeyId,
    },
}

#[derive(Args)]
struct NewKey {
    /// What it is for, as lists show it
    #[arg(long)]
    name: String,
    /// What it may do: read, write, command, command:PATTERN, admin; separated by commas
    #[arg(long, value_delimiter = ',', required = true)]
    scopes: Vec<String>,
    /// The customer it is bound to: it sees and changes nothing else
    #[arg(long)]
    owner: Option<String>,
    /// From then on it is refused: a time, or how long from now (90d) [default: never]
    #[arg(long, value_name = "TIME", value_parser = input::later)]
    expires: Option<Timestamp>,
}

#[derive(Args, Serialize)]
struct Filter {
    /// Only those that are bound to this customer
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
}

/// The environment variable of `store.url`.
const STORE_URL_VARIABLE: &str = "CHARGEHOOK_STORE_URL";

/// Where keys are kept.
#[derive(Args)]
struct Place {
    /// Configuration file (TOML) that names the data directory
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the database [default: ./data]; with --url, where its admin-key file is
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// URL of the database of PostgreSQL that several gateways share
    #[arg(long, global = true, value_name = "URL", conflicts_with = "url")]
    store: Option<String>,
    /// Where the gateway's REST API is
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    url: Option<String>,
    /// An API key of the gateway [env: CHARGEHOOK_API_KEY]
    #[arg(long, global = true, value_name = "KEY", help_heading = "Connection")]
    api_key: Option<String>,
    /// Certificates (PEM) of authorities to trust beside the system's, for https://
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    ca: Option<String>,
}

/// Where keys are kept, once that is decided.
enum Keeper {
    Database(DatabaseArgs),
    Gateway(Session),
}

impl Place {
    fn keeper(self, view: View) -> Result<Keeper, Failure> {
        let elsewhere = std::env::var(URL_VARIABLE).is_ok_and(|url| !url.is_empty());
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let here = is_set(DATA_DIR_VARIABLE) || is_set(STORE_URL_VARIABLE);
        let named_here = here || self.data_dir.is_some() || self.config.is_some() || self.store.is_some();
        let is_asked = self.url.is_some() || self.api_key.is_some() || self.ca.is_some();
        if is_asked || (elsewhere && !named_here) {
            let remote = Remote::new(self.url, self.api_key, self.data_dir, self.ca);
            return Ok(Keeper::Gateway(Session::new(remote.client()?, view)));
        }
        view.apply();
        Ok(Keeper::Database(DatabaseArgs { config: self.config, data_dir: self.data_dir, store: self.store }))
    }
}

pub(super) async fn run(Keys { task, place, view }: Keys) -> Result<(), Failure> {
    match (task, place.keeper(view)?) {
        (Task::Create(new), keeper) => create(new, keeper, view).await,
        (Task::List(filter), Keeper::Gateway(session)) => {
            let ask = |parameters: &[(&str, &str)]| session.client.api_keys(parameters);
            session.list(&Paging::everything(), &filter, ask, COLUMNS, |key| row(key.clone())).await
        }
        (Task::List(filter), Keeper::Database(database)) => list(filter, database, view).await,
        (Task::Revoke { id }, Keeper::Gateway(session)) => {
            session.show(session.client.revoke_api_key(id), |()| format!("key {id} is revoked\n")).await
        }
        (Task::Revoke { id }, Keeper::Database(database)) => {
            view.for_one_answer()?;
            match database.open_existing()?.revoke_api_key_by_hand(id).await? {
                true => Ok(()),
                false => Err(Failure::NoSuchKey(id)),
            }
        }
    }
}

async fn create(new: NewKey, keeper: Keeper, view: View) -> Result<(), Failure> {
    let NewKey { name, scopes, owner, expires } = new;
    let input = ApiKeyInput { name, scopes, owner_id: owner, expires_at: expires };
    let shown = |key: &ApiKey| format!("{}\n", key.key.as_deref().unwrap_or_default());
    match keeper {
        Keeper::Gateway(session) => {
            session.show(session.client.create_api_key(&input), shown).await.map(drop)
        }
        Keeper::Database(database) => {
            view.for_one_answer()?;
            if expires.is_some_and(|end| end <= Clock::System.now()) {
                return Err(KeyError::Wrong("a key must expire in the future".to_owned()).into());
            }
            let made = keys::create_by_hand(&database.open()?, input).await?;
            print(&if view.json { as_json(&made)? } else { shown(&made) })
        }
    }
}

/// Lists the keys of a data directory.
async fn list(filter: Filter, database: DatabaseArgs, view: View) -> Result<(), Failure> {
    if view.csv || view.watch {
        return Err(Failure::NoSuchView("--csv and --watch ask a gateway: give --url"));
    }
    let mut data = keys::list(&database.open_existing()?).await?;
    data.retain(|key| filter.owner_id.is_none() || key.owner_id == filter.owner_id);
    match view.json {
        true => print(&as_json(&Page { data, next_cursor: None })?),
        false => print(&Table::new(COLUMNS).lines(data.into_iter().map(row))),
    }
}

fn as_json(answer: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string(answer).map_err(std::io::Error::from)? + "\n")
}

const COLUMNS: [Column; 7] = [
    whole("ID"),
    cut("NAME"),
    whole("SCOPES"),
    cut("OWNER"),
    time("CREATED").minor(),
    time("EXPIRES"),
    time("LAST USED"),
];

fn row(key: ApiKey) -> [String; 7] {
    [
        key.id.to_string(),
        key.name,
        listed(&key.scopes),
        or_dash(key.owner_id),
        key.created_at.to_string(),
        or_dash(key.expires_at),
        or_dash(key.last_used_at),
    ]
}
