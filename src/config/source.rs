//! Merging: command line over environment over file over default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Fault, Reason, Source};
use super::value::given;
use super::{Config, TABLES};
use crate::client::URL_VARIABLE;
use crate::keys::API_KEY_VARIABLE;
use store::NEW_KEY_VARIABLE;
use vocabulary::setting::Given;

/// What every environment variable of ours begins with.
const PREFIX: &str = "CHARGEHOOK_";

/// Variables of ours that set nothing.
const NO_SETTINGS: [&str; 3] = [API_KEY_VARIABLE, URL_VARIABLE, NEW_KEY_VARIABLE];

/// Where a configuration is read from. Not `Debug`: an environment holds secrets, ours and others'.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file, if one is named.
    pub file: Option<PathBuf>,
    /// The environment. Names that do not begin with `CHARGEHOOK_` are not looked at.
    pub env: Vec<(OsString, OsString)>,
    /// What the command line sets.
    pub overrides: Vec<Override>,
}

/// A setting made by an option of the command line.
#[derive(Debug, Clone)]
pub struct Override {
    /// The option as it is typed: `--ocpp-listen`.
    pub option: &'static str,
    /// The table of the key.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
    /// The value as text; lists separated by commas.
    pub value: String,
}

impl Config {
    /// Merges `sources`.
    ///
    /// # Errors
    /// Every fault of every source at once: a file that cannot be read, unknown tables, keys and variables,
    /// values that cannot be read or are out of range, and the choices that a listener which is not on
    /// loopback asks for.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let mut merge = Merge::default();
        if let Some(path) = &sources.file {
            match std::fs::read_to_string(path) {
                Ok(text) => merge.file(path, &text),
                Err(error) => merge.fault(file(path, None), None, error.into()),
            }
        }
        merge.environment(sources.env);
        for Override { option, table, key, value } in sources.overrides {
            merge.set(Source::Option(option), table, key, Given::Text(&value));
        }
        merge.finish()
    }

    /// Reads the text of a file over the defaults; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut merge = Merge::default();
        merge.file(path, text);
        merge.finish()
    }
}

/// The configuration so far, and who set what.
#[derive(Default)]
struct Merge {
    config: Config,
    set_by: BTreeMap<(&'static str, &'static str), Source>,
    faults: Vec<Fault>,
}

fn file(path: &Path, line: Option<usize>) -> Source {
    Source::File { path: path.to_owned(), line }
}

/// The key as the tables declare it, or why there is none.
fn known(table: &str, key: &str) -> Result<(&'static str, &'static str), Reason> {
    let Some((table, _)) = TABLES.iter().find(|(name, _)| *name == table) else {
        return Err(Reason::unknown("table", table, TABLES.iter().map(|(name, _)| *name)));
    };
    let keys = || TABLES.iter().filter(|(name, _)| name == table).flat_map(|(_, keys)| keys.iter().copied());
    match keys().find(|name| *name == key) {
        Some(key) => Ok((table, key)),
        None => Err(Reason::unknown("key", key, keys())),
    }
}

/// `CHARGEHOOK_OCPP_LISTEN` for `listen` of `[ocpp]`.
fn variable(table: &str, key: &str) -> String {
    format!("{PREFIX}{table}_{key}").to_ascii_uppercase()
}

impl Merge {
    fn fault(&mut self, source: Source, key: Option<String>, reason: Reason) {
        self.faults.push(Fault { source, key, reason });
    }

    fn set(&mut self, source: Source, table: &str, key: &str, given: Given<'_>) {
        let named = Some(format!("{table}.{key}"));
        match known(table, key) {
            Err(reason) => self.fault(source, named, reason),
            Ok((table, key)) => {
                if let Some(Err(error)) = self.config.set(table, key, given) {
                    self.fault(source.clone(), named, Reason::Invalid(error));
                }
                // A value that could not be read was set all the same: no second complaint that it is
                // missing.
                self.set_by.insert((table, key), source);
            }
        }
    }

    fn file(&mut self, path: &Path, text: &str) {
        let line = |at: usize| Some(text[..at.min(text.len())].matches('\n').count() + 1);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().and_then(|span| line(span.start));
            self.fault(file(path, at), None, Reason::Syntax(error.message().to_owned()));
        }
        for (table, value) in document.get_ref() {
            let (name, at) = (table.get_ref(), line(table.span().start));
            let DeValue::Table(keys) = value.get_ref() else {
                self.fault(file(path, at), Some(name.to_string()), Reason::Outside);
                continue;
            };
            if !TABLES.iter().any(|(known, _)| known == name) {
                let reason = Reason::unknown("table", name, TABLES.iter().map(|(known, _)| *known));
                self.fault(file(path, at), Some(format!("[{name}]")), reason);
                continue;
            }
            for (key, value) in keys {
                let source = file(path, line(key.span().start));
                self.set(source, name, key.get_ref(), given(value.get_ref()));
            }
        }
        // The parser hands tables and keys out by name; people read from the top.
        self.faults.sort_by_key(|fault| match fault.source {
            Source::File { line, .. } => line,
            _ => None,
        });
    }

    fn environment(&mut self, env: Vec<(OsString, OsString)>) {
        let variables: BTreeMap<String, (&str, &str)> = TABLES
            .iter()
            .flat_map(|(table, keys)| keys.iter().map(|key| (variable(table, key), (*table, *key))))
            .collect();
        let mut ours: Vec<_> = env
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX) && !NO_SETTINGS.contains(&name.as_str()))
            .collect();
        ours.sort();
        for (name, value) in ours {
            let Some((table, key)) = variables.get(&name) else {
                let reason = Reason::unknown("variable", &name, variables.keys().map(String::as_str));
                self.fault(Source::Variable(name), None, reason);
                continue;
            };
            match value.to_str() {
                Some(text) => self.set(Source::Variable(name), table, key, Given::Text(text)),
                None => {
                    let reason = Reason::Invalid("is not UTF-8".to_owned());
                    self.fault(Source::Variable(name), Some(format!("{table}.{key}")), reason);
                }
            }
        }
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        for (table, key, rule) in self.config.out_of_range() {
            let source = self.set_by.get(&(table, key)).cloned().unwrap_or(Source::Default);
            self.fault(source, Some(format!("{table}.{key}")), Reason::Invalid(rule));
        }
        self.explicit_beyond_loopback();
        if self.faults.is_empty() { Ok(self.config) } else { Err(ConfigError { faults: self.faults }) }
    }

    /// The convenient defaults for strangers are for one's own machine; anywhere else they must be chosen.
    fn explicit_beyond_loopback(&mut self) {
        let ocpp = &self.config.ocpp;
        let mut listeners = std::iter::once(ocpp.listen).chain(ocpp.tls_listen);
        let Some(listen) = listeners.find(|listen| !listen.ip().to_canonical().is_loopback()) else { return };
        for (table, key, choices) in [
            ("stations", "unknown", "accept, pending, reject"),
            ("authorization", "unknown_id_tag", "accept, invalid"),
        ] {
            if !self.set_by.contains_key(&(table, key)) {
                let reason = Reason::MustBeExplicit { listen, choices };
                self.fault(Source::Default, Some(format!("{table}.{key}")), reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_FILE;
    use crate::station::Admission;
    use vocabulary::ocpp::authorization::UnknownIdTag;
    use vocabulary::units::Span;

    fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn of_text(text: &str) -> Result<Config, ConfigError> {
        Config::from_toml(Path::new("gateway.toml"), text)
    }

    fn of_env(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(Sources { env: env(pairs), ..Sources::default() })
    }

    fn errors(result: Result<Config, ConfigError>) -> Vec<String> {
        result.expect_err("a fault").to_string().lines().map(str::to_owned).collect()
    }

    /// Every `key = value` of the default file, commented out or not, as `(table, key)`, and the file with
    /// each of them in force.
    fn documented() -> (Vec<(String, String)>, String) {
        let (mut keys, mut in_force, mut table) = (Vec::new(), String::new(), String::new());
        for line in DEFAULT_FILE.lines() {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                table = name.to_owned();
            } else if let Some((key, _)) = bare.split_once(" = ")
                && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            {
                keys.push((table.clone(), key.to_owned()));
            } else {
                continue;
            }
            in_force.push_str(bare);
            in_force.push('\n');
        }
        (keys, in_force)
    }

    #[test]
    fn the_default_file_is_the_defaults() {
        assert_eq!(of_text(DEFAULT_FILE).expect("the default file"), Config::default());
    }

    #[test]
    fn the_default_file_documents_every_key_once_and_in_order() {
        let (documented, in_force) = documented();
        let declared: Vec<_> = TABLES
            .iter()
            .flat_map(|(table, keys)| keys.iter().map(|key| ((*table).to_owned(), (*key).to_owned())))
            .collect();
        assert_eq!(documented, declared);
        // The size of a database is for the embedded one to keep, so not both can be in force.
        let in_force: String = in_force
            .lines()
            .filter(|line| !line.starts_with("max_database_size"))
            .map(|line| format!("{line}\n"))
            .collect();
        of_text(&in_force).expect("what is commented out is right too");
    }

    #[test]
    fn the_command_line_wins_over_environment_over_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("gateway.toml");
        let text = "[ocpp]\nheartbeat_interval = \"1m\"\nping_interval = \"1m\"\nvalidation = \"strict\"\n";
        std::fs::write(&path, text).expect("written");
        let config = Config::load(Sources {
            file: Some(path),
            env: env(&[
                ("CHARGEHOOK_OCPP_HEARTBEAT_INTERVAL", "2m"),
                ("CHARGEHOOK_OCPP_PING_INTERVAL", "2m"),
                ("CHARGEHOOK_DELIVERY_ALLOWED_NETWORKS", "127.0.0.0/8, ::1"),
                ("CHARGEHOOK_API_KEY", "sixteen characters or more"),
                ("CHARGEHOOK_URL", "http://127.0.0.1:8080"),
                ("PATH", "/bin"),
            ]),
            overrides: vec![Override {
                option: "--heartbeat-interval",
                table: "ocpp",
                key: "heartbeat_interval",
                value: "3m".to_owned(),
            }],
        })
        .expect("all of it is right");
        assert_eq!(config.ocpp.heartbeat_interval, Span::seconds(180));
        assert_eq!(config.ocpp.ping_interval, Span::seconds(120));
        assert_eq!(config.ocpp.validation, vocabulary::ocpp::Validation::Strict);
        assert_eq!(config.outbound.allowed_networks.len(), 2);
    }

    #[test]
    fn every_fault_is_named_at_once_with_file_line_and_hint() {
        let text = "listen = 1\n[ocpp]\nlisten = \"here\"\nheartbeat_intervall = \"5m\"\n\n[limit]\nconnections = 1\n";
        let errors = errors(of_text(text));
        assert_eq!(
            errors,
            [
                "gateway.toml:1: listen: stands outside a table: every key belongs under a heading such as [ocpp]",
                "gateway.toml:3: ocpp.listen: \"here\" is no address: write IP and port, such as 127.0.0.1:9000, 0.0.0.0:9000 or [::]:9000",
                "gateway.toml:4: ocpp.heartbeat_intervall: unknown key; did you mean heartbeat_interval?",
                "gateway.toml:6: [limit]: unknown table; did you mean limits?",
            ]
        );
    }

    #[test]
    fn a_file_that_is_no_toml_or_is_missing_says_so() {
        let errors = errors(of_text("[ocpp]\nlisten \"127.0.0.1:1\"\n"));
        assert!(errors[0].starts_with("gateway.toml:2: is not valid TOML: "), "{errors:?}");
        let missing = Sources { file: Some("no/such/file.toml".into()), ..Sources::default() };
        let error = Config::load(missing).expect_err("no file").to_string();
        assert!(error.starts_with("no/such/file.toml: cannot be read: "), "{error}");
    }

    #[test]
    fn a_variable_is_unknown_misread_or_out_of_range_by_its_name() {
        assert_eq!(
            errors(of_env(&[("CHARGEHOOK_OCPP_LISTN", "127.0.0.1:1")])),
            [
                "environment variable CHARGEHOOK_OCPP_LISTN: unknown variable; did you mean CHARGEHOOK_OCPP_LISTEN?"
            ]
        );
        assert_eq!(
            errors(of_env(&[("CHARGEHOOK_OCPP_HEARTBEAT_INTERVAL", "500ms")])),
            [
                "environment variable CHARGEHOOK_OCPP_HEARTBEAT_INTERVAL: ocpp.heartbeat_interval: is sent in whole seconds: at least 1s"
            ]
        );
        assert!(errors(of_env(&[("CHARGEHOOK_LOG_LEVEL", "a=b=c")]))[0].contains("log.level"));
    }

    #[test]
    fn an_authorisation_endpoint_wants_a_secret_and_a_place_it_may_be_at() {
        let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let lacking = errors(of_text("[authorization]\nurl = \"https://example.com/a\"\n"));
        assert!(lacking[0].contains("authorization.signing_secret: must be set where"), "{lacking:?}");
        let of = |url: &str, secret: &str| {
            of_text(&format!("[authorization]\nurl = \"{url}\"\nsigning_secret = \"{secret}\"\n"))
        };
        let config = of("https://example.com/a", secret).expect("all is said");
        assert!(!format!("{config:?}").contains("MDEyMz"), "the secret is not shown");
        let config = of("https://example.com/a?key=t0ken", secret).expect("all is said");
        let shown = format!("{config:?}");
        assert!(shown.contains("https://example.com") && !shown.contains("t0ken"), "{shown}");
        for (url, secret, words) in [
            ("https://127.0.0.1/a", secret, "delivery.allowed_networks"),
            ("ftp://example.com/a", secret, "https:// or http://"),
            ("example.com", secret, "not a valid URL"),
            ("https://example.com/a", "MDEyMz", "starts with whsec_"),
        ] {
            let errors = errors(of(url, secret));
            assert!(errors[0].contains(words) && !errors[0].contains("MDEyMz"), "{errors:?}");
        }
    }

    #[test]
    fn a_listener_beyond_loopback_wants_both_choices_made() {
        let open = ("CHARGEHOOK_OCPP_LISTEN", "0.0.0.0:9000");
        let errors = errors(of_env(&[open]));
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("stations.unknown: must be set"), "{errors:?}");
        assert!(errors[1].contains("authorization.unknown_id_tag: must be set"), "{errors:?}");

        let chosen = [
            open,
            ("CHARGEHOOK_STATIONS_UNKNOWN", "accept"),
            ("CHARGEHOOK_AUTHORIZATION_UNKNOWN_ID_TAG", "invalid"),
        ];
        let config = of_env(&chosen).expect("both are chosen, a default among them");
        assert_eq!(config.stations.unknown, Admission::Accept);
        assert_eq!(config.authorization.unknown_id_tag, UnknownIdTag::Invalid);
        assert!(of_env(&[("CHARGEHOOK_OCPP_LISTEN", "[::ffff:127.0.0.1]:9000")]).is_ok(), "mapped loopback");
        assert!(of_env(&[("CHARGEHOOK_API_LISTEN", "0.0.0.0:8080")]).is_ok(), "keys guard the API");
        let encrypted = [
            ("CHARGEHOOK_OCPP_TLS_LISTEN", "0.0.0.0:9443"),
            ("CHARGEHOOK_OCPP_TLS_CERTIFICATE", "a.pem"),
            ("CHARGEHOOK_OCPP_TLS_KEY", "a.key"),
        ];
        assert_eq!(of_env(&encrypted).expect_err("both listeners count").faults.len(), 2);
    }

    #[test]
    fn tls_settings_go_together() {
        for (text, words) in [
            ("[ocpp]\ntls_certificate = [\"a.pem\"]\n", "ocpp.tls_key: lists one key for each file"),
            ("[api]\ntls_key = [\"a.key\"]\n", "api.tls_key: lists one key for each file of api."),
            ("[ocpp]\ntls_listen = \"127.0.0.1:0\"\n", "ocpp.tls_listen: needs ocpp.tls_certificate"),
            ("[ocpp]\ntls_client_ca = \"ca.pem\"\n", "ocpp.tls_client_ca: needs ocpp.tls_certificate"),
            ("[ocpp]\ntls_client_organization = \"O\"\n", "needs ocpp.tls_client_ca"),
            ("[ocpp]\ntls_client_cert_header = \"X-C\"\n", "needs ocpp.trusted_proxies"),
            ("[ocpp]\ntls_client_cert_header = \"a b\"\n", "is no header's name"),
            ("[ocpp]\ntrusted_proxies = [\"0.0.0.0/0\"]\n", "ocpp.trusted_proxies: must not be every"),
            ("[api]\ntrusted_proxies = [\"10.0.0.1\", \"::/0\"]\n", "api.trusted_proxies: must not be every"),
        ] {
            let errors = errors(of_text(text));
            assert!(errors.len() == 1 && errors[0].contains(words), "{errors:?}");
        }
    }

    #[test]
    fn no_heartbeat_setting_makes_an_idle_charger_a_dead_one() {
        let with = |ocpp: &str, idle: &str| {
            of_text(&format!("[ocpp]\n{ocpp}\n[limits]\nidle_timeout = \"{idle}\"")).map(drop)
        };
        for (ocpp, idle) in [
            ("", "60s"),
            ("ping_interval = \"0s\"", "899s"),
            ("heartbeat_interval = \"1h\"", "1h"),
            ("heartbeat_interval = \"10s\"", "89s"),
            ("heartbeat_interval = \"2147483647s\"", "365d"),
        ] {
            let found = errors(with(ocpp, idle).map(|()| Config::default()));
            assert!(
                found.iter().any(|line| line.contains("limits.idle_timeout")),
                "{ocpp}, {idle}: {found:?}"
            );
        }
        for (ocpp, idle) in [("", "15m"), ("heartbeat_interval = \"10s\"", "90s")] {
            with(ocpp, idle).expect("a charger is heard of in time");
        }
    }
}
