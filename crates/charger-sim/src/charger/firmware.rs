//! Firmware updates: from the download to the boot with the new version. Nothing is really fetched.
//!
//! So that failures can be tried, the last segment of the location decides: with `download-failed` in it
//! the download fails, with `installation-failed` the installation. A signature that is the text
//! `invalid` is no good; neither is a signing certificate that is no PEM, and one whose text contains
//! `revoked` is revoked.

use std::time::Duration;

use serde_json::Value;

use super::{Charger, Reboot};
use crate::messages::requests;
use crate::messages::security::{
    SecurityEventNotification, SignedFirmwareStatus as Status, SignedFirmwareStatusNotification,
    UpdateFirmwareStatus,
};
use crate::outbox::{About, Message};
use crate::profile::whole;
use vocabulary::clock::Timestamp;
use vocabulary::der;

/// How far an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The time to fetch it has not come.
    Scheduled,
    Downloading,
    Downloaded,
    SignatureVerified,
    /// Waits for its time, or for cars to leave.
    InstallScheduled,
    Installing,
    /// Goes down and comes back with the new version.
    Rebooting,
}

/// An update on its way.
#[derive(Debug)]
struct Job {
    /// Of `SignedUpdateFirmware`; `UpdateFirmware` has none.
    request_id: Option<i64>,
    location: String,
    install_at: Option<Timestamp>,
    signature_valid: bool,
    stage: Stage,
    due: Timestamp,
}

/// The firmware of a charger.
#[derive(Debug, Default)]
pub(crate) struct Firmware {
    /// What the last update brought; `None`: as delivered.
    pub version: Option<String>,
    job: Option<Job>,
    /// What was reported last, for `TriggerMessage`.
    told: Option<(Status, Option<i64>)>,
}

impl Firmware {
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.job.as_ref().filter(|job| job.stage != Stage::Rebooting).map(|job| job.due)
    }

    /// The installation cannot be broken off, and takes no new cars.
    pub(crate) fn is_installing(&self) -> bool {
        self.job.as_ref().is_some_and(|job| matches!(job.stage, Stage::Installing | Stage::Rebooting))
    }

    /// No car may come any more, so that the installation gets its turn.
    pub(crate) fn needs_quiet(&self) -> bool {
        self.is_installing() || self.job.as_ref().is_some_and(|job| job.stage == Stage::InstallScheduled)
    }

    fn fails_at(&self, step: &str) -> bool {
        let location = self.job.as_ref().map_or("", |job| job.location.as_str());
        location.rsplit('/').next().is_some_and(|name| name.contains(step))
    }
}

impl Charger {
    /// Answers `UpdateFirmware`; a newer request takes the place of an older one.
    pub(crate) fn update_firmware(&mut self, now: Timestamp, payload: &Value) {
        if !self.firmware.is_installing() {
            self.begin_update(now, &payload["location"], &payload["retrieveDate"], None);
        }
    }

    /// Answers `SignedUpdateFirmware`.
    pub(crate) fn update_signed_firmware(&mut self, now: Timestamp, payload: &Value) -> UpdateFirmwareStatus {
        let firmware = &payload["firmware"];
        let certificate = firmware["signingCertificate"].as_str().unwrap_or_default();
        if self.firmware.is_installing() {
            return UpdateFirmwareStatus::Rejected;
        }
        if certificate.contains("revoked") {
            return UpdateFirmwareStatus::RevokedCertificate;
        }
        if der::pem_certificates(certificate).is_empty() {
            self.security_event(now, "InvalidFirmwareSigningCertificate", None);
            return UpdateFirmwareStatus::InvalidCertificate;
        }
        let replaced = self.firmware.job.is_some();
        let request_id = whole(&payload["requestId"]).unwrap_or_default();
        self.begin_update(now, &firmware["location"], &firmware["retrieveDateTime"], Some(request_id));
        if let Some(job) = &mut self.firmware.job {
            job.install_at = time(&firmware["installDateTime"]);
            job.signature_valid = firmware["signature"] != "invalid";
        }
        if replaced { UpdateFirmwareStatus::AcceptedCanceled } else { UpdateFirmwareStatus::Accepted }
    }

    fn begin_update(&mut self, now: Timestamp, location: &Value, at: &Value, request_id: Option<i64>) {
        let due = time(at).map_or(now, |at| at.max(now));
        self.firmware.job = Some(Job {
            request_id,
            location: location.as_str().unwrap_or_default().to_owned(),
            install_at: None,
            signature_valid: true,
            stage: Stage::Scheduled,
            due,
        });
        if due > now {
            self.tell_firmware(Status::DownloadScheduled);
        }
    }

    /// The next step of the update, when its time has come.
    pub(crate) fn advance_firmware(&mut self, now: Timestamp) {
        if self.firmware.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        let Some(job) = &self.firmware.job else { return };
        let (stage, signed) = (job.stage, job.request_id.is_some());
        let install_at = job.install_at.filter(|at| *at > now);
        match stage {
            Stage::Scheduled => self.enter(now, Stage::Downloading, Status::Downloading),
            Stage::Downloading if self.firmware.fails_at("download-failed") => {
                self.give_up(Status::DownloadFailed)
            }
            Stage::Downloading => self.enter(now, Stage::Downloaded, Status::Downloaded),
            Stage::Downloaded if signed && !job.signature_valid => {
                self.give_up(Status::InvalidSignature);
                self.security_event(now, "InvalidFirmwareSignature", None);
            }
            Stage::Downloaded if signed => {
                self.enter(now, Stage::SignatureVerified, Status::SignatureVerified)
            }
            Stage::Downloaded | Stage::SignatureVerified | Stage::InstallScheduled => {
                let busy = self.connectors.iter().any(|connector| connector.is_in_session());
                if !busy && install_at.is_none() {
                    self.enter(now, Stage::Installing, Status::Installing);
                } else if stage == Stage::InstallScheduled {
                    self.wait_until(install_at.unwrap_or_else(|| now.after(self.step())));
                } else {
                    self.tell_firmware(Status::InstallScheduled);
                    self.wait_until(install_at.unwrap_or_else(|| now.after(self.step())));
                    if let Some(job) = &mut self.firmware.job {
                        job.stage = Stage::InstallScheduled;
                    }
                }
            }
            Stage::Installing if self.firmware.fails_at("installation-failed") => {
                self.give_up(Status::InstallationFailed);
            }
            Stage::Installing => {
                self.tell_firmware(Status::InstallRebooting);
                if let Some(job) = &mut self.firmware.job {
                    job.stage = Stage::Rebooting;
                }
                let (at_latest, reason) = (now.after(super::reset::PATIENCE), "new firmware".to_owned());
                self.reboot = Some(Reboot { at_latest, reason, boot: true });
            }
            Stage::Rebooting => {}
        }
    }

    /// The new version runs; `BootNotification` says so from now on.
    pub(crate) fn switch_firmware(&mut self) {
        if let Some(job) = self.firmware.job.as_ref().filter(|job| job.stage == Stage::Rebooting) {
            let name = job.location.rsplit('/').next().filter(|name| !name.is_empty());
            self.firmware.version = Some(name.unwrap_or("updated").chars().take(50).collect());
        }
    }

    /// The first boot after the installation was accepted.
    pub(crate) fn report_installed(&mut self, now: Timestamp) {
        if self.firmware.job.as_ref().is_some_and(|job| job.stage == Stage::Rebooting) {
            let signed = self.firmware.job.as_ref().is_some_and(|job| job.request_id.is_some());
            self.give_up(Status::Installed);
            if signed {
                let version = self.firmware.version.clone();
                self.security_event(now, "FirmwareUpdated", version);
            }
        }
    }

    /// Reports the status asked for by a trigger: `Idle` unless an update is on its way.
    pub(crate) fn push_firmware_status(&mut self, signed: bool) {
        let busy = self.firmware.job.as_ref().is_some_and(|job| job.request_id.is_some() == signed);
        let told = self.firmware.told.filter(|_| busy).unwrap_or((Status::Idle, None));
        if let Some(mut message) = firmware_status(signed, told) {
            message.triggered = true;
            self.outbox.push(message);
        }
    }

    fn step(&self) -> Duration {
        self.options.transfer
    }

    fn wait_until(&mut self, at: Timestamp) {
        if let Some(job) = &mut self.firmware.job {
            job.due = at;
        }
    }

    fn enter(&mut self, now: Timestamp, stage: Stage, status: Status) {
        let due = now.after(self.step());
        if let Some(job) = &mut self.firmware.job {
            (job.stage, job.due) = (stage, due);
        }
        self.tell_firmware(status);
    }

    /// Says how it ended; nothing is on its way any more.
    fn give_up(&mut self, status: Status) {
        self.tell_firmware(status);
        self.firmware.job = None;
    }

    fn tell_firmware(&mut self, status: Status) {
        let Some(job) = &self.firmware.job else { return };
        let told = (status, job.request_id);
        if let Some(message) = firmware_status(job.request_id.is_some(), told) {
            self.outbox.push(message);
            self.firmware.told = Some(told);
        }
    }

    /// Reports something that matters for security (whitepaper, A04).
    pub(crate) fn security_event(&mut self, now: Timestamp, kind: &str, info: Option<String>) {
        let timestamp = self.own_time(now);
        self.queue(&SecurityEventNotification { kind, timestamp, tech_info: info }, About::Plain);
    }
}

/// The notification of a status; `None` where an update that is not signed has no word for it.
fn firmware_status(signed: bool, (status, request_id): (Status, Option<i64>)) -> Option<Message> {
    if signed {
        return Some(Message::new(&SignedFirmwareStatusNotification { status, request_id }, About::Plain));
    }
    Some(Message::new(&requests::firmware_status(status.unsigned()?), About::Plain))
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}
