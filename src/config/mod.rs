//! The configuration: the tables that the engines declare, and what file, environment and command line say
//! over them.
//!
//! A setting is declared once, in the `settings.rs` of the engine that uses it: its name there is the key of
//! the file and, with the heading, the name of its environment variable. [`source`] merges, [`rules`] has
//! what no table can tell alone, [`reread`] what can change while the gateway runs, [`error`] what is wrong,
//! all of it at once.

mod error;
mod reread;
mod rules;
mod source;
mod value;

use crate::delivery;
use crate::http::{self, Api, ApiLimits};
use crate::retention::Retention;
use crate::station;
use crate::station::settings::{AllStations, Authorization, Limits, Ocpp, Transactions};
use crate::telemetry::Log;
use outbound::Outbound;
use store::{KeySource, Secrets, StoreSettings};
use vocabulary::setting::{Broken, Given, Node, Rules, Server, Table};

pub use error::{ConfigError, Fault, Reason, Source};
pub use reread::{Change, Reread};
pub use source::{Override, Sources};

/// The documented default file, as `chargehook config default` prints it.
pub const DEFAULT_FILE: &str = include_str!("../../config/chargehook.toml");

/// Lists the tables: the heading of the file that each one's keys stand under, in the order of the file.
/// Several engines may have keys under one heading.
macro_rules! tables {
    ($($heading:literal: $table:ident: $Table:ty,)+) => {
        /// The whole configuration.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Config {
            $(
                #[doc = concat!("Keys under `[", $heading, "]`.")]
                pub $table: $Table,
            )+
        }

        /// Every heading with its keys; a heading comes once for each of its tables.
        const TABLES: &[(&str, &[&str])] = &[$(($heading, <$Table as Table>::KEYS),)+];

        impl Config {
            /// Sets one key; `None` if there is no such key.
            fn set(&mut self, heading: &str, key: &str, given: Given<'_>) -> Option<Result<(), String>> {
                $(if heading == $heading && <$Table as Table>::KEYS.contains(&key) {
                    return self.$table.set(key, given);
                })+
                None
            }

            /// The keys in which another configuration is different.
            fn differing(&self, other: &Self) -> Vec<(&'static str, &'static str)> {
                let mut keys = Vec::new();
                $(keys.extend(self.$table.differing(&other.$table).into_iter().map(|key| ($heading, key)));)+
                keys
            }

            /// Takes over one key of another configuration.
            fn take(&mut self, from: &Self, heading: &str, key: &str) {
                $(if heading == $heading {
                    self.$table.take(&from.$table, key);
                })+
            }

            /// The rules of single tables that are broken: heading, key and rule.
            fn broken_in_tables(&self) -> Vec<(&'static str, &'static str, String)> {
                let mut all = Vec::new();
                $({
                    let mut broken = Broken::default();
                    self.$table.check(&mut broken);
                    all.extend(broken.into_list().into_iter().map(|(key, rule)| ($heading, key, rule)));
                })+
                all
            }
        }
    };
}

tables! {
    "server": server: Server,
    "store": store: StoreSettings,
    "node": node: Node,
    "secrets": secrets: Secrets,
    "ocpp": ocpp: Ocpp,
    "api": api: Api,
    "stations": stations: AllStations,
    "authorization": authorization: Authorization,
    "transactions": transactions: Transactions,
    "delivery": outbound: Outbound,
    "delivery": delivery: delivery::Settings,
    "retention": retention: Retention,
    "limits": limits: Limits,
    "limits": api_limits: ApiLimits,
    "log": log: Log,
}

impl Config {
    /// Where the key of the database's secrets comes from.
    pub fn secrets_key(&self) -> KeySource {
        self.secrets.key_source(&self.server.data_dir)
    }

    /// The tables that the stations' engine uses.
    pub fn station(&self) -> station::Settings {
        station::Settings {
            ocpp: self.ocpp.clone(),
            stations: self.stations.clone(),
            authorization: self.authorization.clone(),
            transactions: self.transactions.clone(),
            limits: self.limits,
        }
    }

    /// The tables that the API uses, beside its limits.
    pub fn http(&self) -> http::Settings {
        http::Settings {
            server: self.server.clone(),
            api: self.api.clone(),
            retention: self.retention.clone(),
            authorization: self.authorization.clone(),
            disable_after: self.delivery.auto_disable_after,
        }
    }
}
