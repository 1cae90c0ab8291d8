//! A configuration that is read again while the gateway runs: what of it can be put in force, and what
//! cannot.

use super::Config;

/// A key whose value is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: &'static str,
    /// The key.
    pub key: &'static str,
}

/// What is different in a configuration that was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The configuration in force, with all that can be changed.
    pub config: Config,
    /// What is different in it.
    pub applied: Vec<Change>,
    /// What needs a restart.
    pub restart: Vec<Change>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.table, self.key)
    }
}

impl Change {
    /// Whether it can be put in force between two configurations, the first one running. Files of TLS can be
    /// other ones; whether there is TLS cannot be.
    fn is_applicable(self, running: &Config, next: &Config) -> bool {
        let (ocpp, api) = (&running.ocpp, &running.api);
        let stays = |before: &[_], after: &[_]| !before.is_empty() && !after.is_empty();
        let ocpp_tls = || stays(&ocpp.tls_certificate, &next.ocpp.tls_certificate);
        // Certificates that proxies hand on are checked if there were authorities from the start.
        let authorities = || {
            ocpp.tls_client_cert_header.is_none()
                || ocpp.tls_client_ca.is_some() == next.ocpp.tls_client_ca.is_some()
        };
        match (self.table, self.key) {
            ("limits", _) | ("log", "level") => true,
            ("ocpp", "tls_certificate" | "tls_key") => ocpp_tls(),
            ("ocpp", "tls_client_ca") => ocpp_tls() && authorities() || handed_on(running, next),
            ("ocpp", "tls_client_crl") => ocpp_tls() || handed_on(running, next),
            ("api", "tls_certificate" | "tls_key") => stays(&api.tls_certificate, &next.api.tls_certificate),
            _ => false,
        }
    }
}

/// Whether authorities of handed-on certificates are known before and after.
fn handed_on(running: &Config, next: &Config) -> bool {
    let ocpp = &running.ocpp;
    ocpp.tls_client_cert_header.is_some()
        && ocpp.tls_client_ca.is_some()
        && next.ocpp.tls_client_ca.is_some()
        && ocpp.tls_certificate.is_empty()
}

impl Config {
    /// What becomes of this configuration, which is running, when `next` was read.
    ///
    /// # Errors
    /// The rules that it would break, each with its key: a limit that fits a key which needs a restart.
    pub fn reread(&self, next: &Self) -> Result<Reread, Vec<String>> {
        let changes = self.differing(next).into_iter().map(|(table, key)| Change { table, key });
        let (applied, restart): (Vec<_>, Vec<_>) =
            changes.partition(|change| change.is_applicable(self, next));
        let mut config = self.clone();
        for change in &applied {
            config.take(next, change.table, change.key);
        }
        let broken: Vec<String> = config
            .out_of_range()
            .into_iter()
            .map(|(table, key, rule)| {
                format!("{table}.{key}: {rule} (with what is in force until a restart)")
            })
            .collect();
        if broken.is_empty() { Ok(Reread { config, applied, restart }) } else { Err(broken) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(text: &str) -> Config {
        Config::from_toml(Path::new("gateway.toml"), text).expect("all of it is right")
    }

    fn names(changes: &[Change]) -> Vec<String> {
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn limits_and_the_level_are_applied_and_the_rest_needs_a_restart() {
        let running = of("");
        let next = of(
            "[server]\ndata_dir = \"/x\"\n[retention]\nevents = \"1d\"\n[limits]\nstreams = 1\nconnections = 2\n\
                       [log]\nlevel = \"debug\"\nformat = \"json\"\n",
        );
        let reread = running.reread(&next).expect("no rule is broken");
        assert_eq!(names(&reread.applied), ["limits.connections", "limits.streams", "log.level"]);
        assert_eq!(names(&reread.restart), ["server.data_dir", "retention.events", "log.format"]);
        assert_eq!((reread.config.api_limits.streams, &reread.config.server), (1, &running.server));
        let again = reread.config.reread(&next).expect("no rule is broken");
        assert_eq!(names(&again.applied), [""; 0], "once");
        assert_eq!(names(&again.restart), names(&reread.restart), "until there was a restart");
        let same = running.reread(&running).expect("no rule is broken");
        assert!(same.applied.is_empty() && same.restart.is_empty());
    }

    #[test]
    fn files_of_tls_can_be_others_but_not_whether_there_is_tls() {
        let encrypted =
            |more: &str| of(&format!("[ocpp]\ntls_certificate = [\"a\"]\ntls_key = [\"b\"]\n{more}"));
        let plain = of("");
        let begun = plain.reread(&encrypted("")).expect("no rule is broken");
        assert_eq!(names(&begun.restart), ["ocpp.tls_certificate", "ocpp.tls_key"]);
        assert_eq!(begun.config, plain);
        let other = of("[ocpp]\ntls_certificate = [\"c\"]\ntls_key = [\"d\"]\ntls_client_ca = \"e\"\n");
        let changed = encrypted("").reread(&other).expect("no rule is broken");
        assert_eq!(changed.config, other, "{:?}", changed.restart);
        // Whoever hands certificates on was believed without authorities; that stays so until a restart.
        let header = "trusted_proxies = [\"10.0.0.1\"]\ntls_client_cert_header = \"X-C\"\n";
        let with_ca = encrypted(&format!("{header}tls_client_ca = \"e\"\n"));
        let reread = encrypted(header).reread(&with_ca).expect("no rule is broken");
        assert_eq!(names(&reread.restart), ["ocpp.tls_client_ca"]);
    }

    #[test]
    fn a_limit_that_fits_what_needs_a_restart_is_refused() {
        let next = of("[ocpp]\nheartbeat_interval = \"10s\"\n[limits]\nidle_timeout = \"90s\"\n");
        let broken = of("").reread(&next).expect_err("idle chargers would be closed");
        assert!(broken[0].starts_with("limits.idle_timeout: ") && broken.len() == 1, "{broken:?}");
    }
}
