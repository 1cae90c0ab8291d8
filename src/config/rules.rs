//! What the values of several tables must be together.

use super::Config;
use vocabulary::setting::Broken;

/// A broken rule: the heading and the key that it is told under, and what it says.
pub(super) type BrokenRule = (&'static str, &'static str, String);

impl Config {
    /// What single values cannot tell: each key that is out of range, and why.
    pub(super) fn out_of_range(&self) -> Vec<BrokenRule> {
        let mut all = self.broken_in_tables();
        let mut under = |heading, check: &dyn Fn(&mut Broken)| {
            let mut broken = Broken::default();
            check(&mut broken);
            all.extend(broken.into_list().into_iter().map(|(key, rule)| (heading, key, rule)));
        };
        under("retention", &|broken| self.check_size_of_shared(broken));
        under("authorization", &|broken| self.check_call_out(broken));
        under("limits", &|broken| self.check_idle_timeout(broken));
        all
    }

    /// How large a database of PostgreSQL may be is not for a gateway to say.
    fn check_size_of_shared(&self, broken: &mut Broken) {
        broken.unless(
            !self.store.is_shared() || self.retention.max_database_size.is_none(),
            "max_database_size",
            "goes with the embedded database only: with store.url, keep less ([retention]) and watch the disk of PostgreSQL",
        );
    }

    /// The authorisation endpoint is where requests may go.
    fn check_call_out(&self, broken: &mut Broken) {
        let Some(url) = &self.authorization.url else { return };
        if let Err(refusal) = self.outbound.guard().check_url(&url.0, false) {
            broken.unless(false, "url", refusal.to_string());
        }
    }

    /// Two heartbeats may get lost; one that is merely waited for must close nothing.
    fn check_idle_timeout(&self, broken: &mut Broken) {
        let lively = self.ocpp.heartbeat_interval.0.saturating_mul(3);
        let lively = lively.max(self.ocpp.ping_interval.0.saturating_mul(3));
        broken.unless(
            self.limits.idle_timeout.is_none_or(|after| after.0 >= lively),
            "idle_timeout",
            "must be at least three times ocpp.heartbeat_interval and ocpp.ping_interval: \
             a charger that has nothing to say is not gone",
        );
    }
}
