//! Diagnostics and logs: the flow of an upload. Nothing is really sent anywhere.
//!
//! The log begins when the charger is switched on, so a request for earlier times finds nothing. With
//! `upload-failed` in the last segment of the location the upload fails.

use serde_json::{Value, json};

use super::charger::Charger;
use super::commands::Answer;
use super::outbox::{About, Message};
use super::profile::whole;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::v16::FromChargePoint as Action;

/// An upload on its way.
#[derive(Debug)]
pub(super) struct Upload {
    /// Of `GetLog`; `GetDiagnostics` has none.
    request_id: Option<i64>,
    fails: bool,
    announced: bool,
    due: Timestamp,
}

/// Uploads: diagnostics and logs do not get in each other's way.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    diagnostics: Option<Upload>,
    log: Option<Upload>,
}

impl Uploads {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.diagnostics.iter().chain(&self.log).map(|upload| upload.due).min()
    }
}

impl Charger {
    /// Answers `GetDiagnostics`: without a file name where there is nothing to upload.
    pub(super) fn get_diagnostics(&mut self, now: Timestamp, payload: &Value) -> Answer {
        let name = self.log_file(now, "diagnostics", &payload["startTime"], &payload["stopTime"]);
        let Some(name) = name else { return Ok(json!({})) };
        self.uploads.diagnostics = Some(upload(now, &payload["location"], None));
        Ok(json!({"fileName": name}))
    }

    /// Answers `GetLog`.
    pub(super) fn get_log(&mut self, now: Timestamp, payload: &Value) -> Answer {
        let (log, kind) = (&payload["log"], payload["logType"].as_str().unwrap_or("DiagnosticsLog"));
        let name = self.log_file(now, kind, &log["oldestTimestamp"], &log["latestTimestamp"]);
        let Some(name) = name else { return Ok(json!({"status": "Rejected"})) };
        let request_id = whole(&payload["requestId"]);
        let replaced = self.uploads.log.replace(upload(
            now,
            &log["remoteLocation"],
            Some(request_id.unwrap_or_default()),
        ));
        let status = if replaced.is_some() { "AcceptedCanceled" } else { "Accepted" };
        Ok(json!({"status": status, "filename": name}))
    }

    /// The file with what was logged between two moments; `None` if nothing was.
    fn log_file(&self, now: Timestamp, kind: &str, from: &Value, to: &Value) -> Option<String> {
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let (from, to) = (time(from).unwrap_or(self.switched_on), time(to).unwrap_or(now));
        let something = from <= now && to >= self.switched_on && from <= to;
        something.then(|| format!("{}-{kind}-{}.log", self.options.id, now.unix_s()))
    }

    pub(super) fn advance_uploads(&mut self, now: Timestamp) {
        for diagnostics in [true, false] {
            let uploads = &mut self.uploads;
            let slot = if diagnostics { &mut uploads.diagnostics } else { &mut uploads.log };
            let Some(upload) = slot.as_mut().filter(|upload| upload.due <= now) else { continue };
            let (announced, request_id) = (upload.announced, upload.request_id);
            let status = match (announced, upload.fails, diagnostics) {
                (false, ..) => "Uploading",
                (true, false, _) => "Uploaded",
                (true, true, true) => "UploadFailed",
                (true, true, false) => "UploadFailure",
            };
            if announced {
                *slot = None;
            } else {
                upload.announced = true;
                upload.due = now.after(self.options.transfer);
            }
            self.outbox.push(upload_status(diagnostics, status, request_id));
        }
    }

    /// Reports the status asked for by a trigger.
    pub(super) fn push_upload_status(&mut self, diagnostics: bool) {
        let slot = if diagnostics { &self.uploads.diagnostics } else { &self.uploads.log };
        let (status, request_id) = match slot {
            Some(upload) => ("Uploading", upload.request_id),
            None => ("Idle", None),
        };
        let mut message = upload_status(diagnostics, status, request_id);
        message.triggered = true;
        self.outbox.push(message);
    }
}

fn upload(now: Timestamp, location: &Value, request_id: Option<i64>) -> Upload {
    let name = location.as_str().and_then(|location| location.rsplit('/').next()).unwrap_or_default();
    Upload { request_id, fails: name.contains("upload-failed"), announced: false, due: now }
}

fn upload_status(diagnostics: bool, status: &str, request_id: Option<i64>) -> Message {
    let mut payload = json!({"status": status});
    if let Some(id) = request_id {
        payload["requestId"] = id.into();
    }
    let action = match diagnostics {
        true => Action::DiagnosticsStatusNotification,
        false => Action::LogStatusNotification,
    };
    Message::new(action, payload, About::Plain)
}
