//! Security profiles: what the charger connects with, and how that is changed over OCPP.

use std::time::Duration;

use super::{Charger, Reboot, Registration};
use crate::connection::{Credentials, DialError, Endpoint};
use crate::trust::OwnCertificate;
use vocabulary::clock::Timestamp;

/// How long what is still to be said may take before the charger hangs up to come back otherwise.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is tried with the next connection, and is taken back if there is none.
pub(crate) enum Trial {
    /// A higher security profile, instead of this one.
    Profile(String),
    /// A new certificate, instead of this one.
    Certificate(Option<OwnCertificate>),
}

impl Charger {
    fn security_profile(&self) -> u64 {
        self.configuration.whole("SecurityProfile")
    }

    /// Where the next connection leads to.
    pub fn endpoint(&self) -> Endpoint {
        let options = &self.options;
        match self.security_profile() >= 2 && !options.endpoint.is_encrypted() {
            true => options.encrypted_endpoint.clone().unwrap_or_else(|| options.endpoint.encrypted()),
            false => options.endpoint.clone(),
        }
    }

    /// What the next connection is made with.
    ///
    /// # Errors
    /// If the certificates cannot be used.
    pub fn credentials(&self) -> Result<Credentials, DialError> {
        let profile = self.security_profile();
        let trust = self.certificates.trust(profile == 3);
        let tls = (!trust.roots.is_empty()).then(|| trust.client_config()).transpose();
        // One of profile 0 keeps the key that it is given, until it is told to use it.
        let password = self.password().filter(|_| matches!(profile, 1 | 2)).map(<[u8]>::to_vec);
        Ok(Credentials { password, tls: tls.map_err(DialError::Certificates)? })
    }

    /// The highest security profile that the charger has what it takes for (OCPP security whitepaper, A05).
    pub(crate) fn profile_max(&self) -> u8 {
        let knows_the_central_system = self.certificates.has_root();
        match (&self.password, knows_the_central_system, self.certificates.has_own()) {
            (_, true, true) => 3,
            (Some(_), true, false) => 2,
            (Some(_), false, _) => 1,
            (None, ..) => 0,
        }
    }

    /// Comes back with the new security profile; with the old one, if that leads nowhere.
    pub(crate) fn change_profile(&mut self, now: Timestamp, old: String) {
        self.trial = Some(Trial::Profile(old));
        self.reconnect(now, "the SecurityProfile was changed");
    }

    /// When the charger asks for its next certificate by itself; it has to be registered for that.
    pub(super) fn renewal_due(&self) -> Option<Timestamp> {
        let is_in = self.registration == Registration::Accepted && self.reboot.is_none();
        is_in.then(|| self.certificates.renewal_due()).flatten()
    }

    /// Comes back with the new certificate, if certificates are what it comes with.
    pub(crate) fn change_certificate(&mut self, now: Timestamp, old: Option<OwnCertificate>) {
        if self.security_profile() == 3 {
            self.trial = Some(Trial::Certificate(old));
            self.reconnect(now, "there is a new certificate");
        }
    }

    pub(super) fn reconnect(&mut self, now: Timestamp, reason: &str) {
        self.reboot = Some(Reboot { at_latest: now.after(PATIENCE), reason: reason.to_owned(), boot: false });
    }

    /// What was tried with a connection that has failed is taken back.
    pub(super) fn fall_back(&mut self) {
        match self.trial.take() {
            Some(Trial::Profile(old)) => self.configuration.store("SecurityProfile", old),
            Some(Trial::Certificate(old)) => self.certificates.restore(old),
            None => {}
        }
    }
}
