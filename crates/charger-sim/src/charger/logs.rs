//! Diagnostics and logs: the flow of an upload. Nothing is really sent anywhere.
//!
//! The log begins when the charger is switched on, so a request for earlier times finds nothing. With
//! `upload-failed` in the last segment of the location the upload fails.

use serde_json::Value;

use super::Charger;
use crate::messages::security::{GetLogResponse, LogStatus, LogStatusNotification, LogUploadStatus};
use crate::messages::{DiagnosticsStatus, requests};
use crate::outbox::{About, Message};
use crate::profile::whole;
use vocabulary::clock::Timestamp;

/// An upload on its way.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Of `GetLog`; `GetDiagnostics` has none.
    request_id: Option<i64>,
    fails: bool,
    announced: bool,
    due: Timestamp,
}

/// How far an upload is; diagnostics and logs have different words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Idle,
    Uploading,
    Uploaded,
    Failed,
}

/// Uploads: diagnostics and logs do not get in each other's way.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    diagnostics: Option<Upload>,
    log: Option<Upload>,
}

impl Uploads {
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.diagnostics.iter().chain(&self.log).map(|upload| upload.due).min()
    }
}

impl Charger {
    /// Answers `GetDiagnostics`: the file's name, or none where there is nothing to upload.
    pub(crate) fn get_diagnostics(&mut self, now: Timestamp, payload: &Value) -> Option<String> {
        let name = self.log_file(now, "diagnostics", &payload["startTime"], &payload["stopTime"])?;
        self.uploads.diagnostics = Some(upload(now, &payload["location"], None));
        Some(name)
    }

    /// Answers `GetLog`.
    pub(crate) fn get_log(&mut self, now: Timestamp, payload: &Value) -> GetLogResponse {
        let (log, kind) = (&payload["log"], payload["logType"].as_str().unwrap_or("DiagnosticsLog"));
        let name = self.log_file(now, kind, &log["oldestTimestamp"], &log["latestTimestamp"]);
        if name.is_none() {
            return GetLogResponse { status: LogStatus::Rejected, filename: None };
        }
        let request_id = whole(&payload["requestId"]);
        let replaced = self.uploads.log.replace(upload(
            now,
            &log["remoteLocation"],
            Some(request_id.unwrap_or_default()),
        ));
        let status = if replaced.is_some() { LogStatus::AcceptedCanceled } else { LogStatus::Accepted };
        GetLogResponse { status, filename: name }
    }

    /// The file with what was logged between two moments; `None` if nothing was.
    fn log_file(&self, now: Timestamp, kind: &str, from: &Value, to: &Value) -> Option<String> {
        let time = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let (from, to) = (time(from).unwrap_or(self.switched_on), time(to).unwrap_or(now));
        let something = from <= now && to >= self.switched_on && from <= to;
        something.then(|| format!("{}-{kind}-{}.log", self.options.id, now.unix_s()))
    }

    pub(crate) fn advance_uploads(&mut self, now: Timestamp) {
        for diagnostics in [true, false] {
            let uploads = &mut self.uploads;
            let slot = if diagnostics { &mut uploads.diagnostics } else { &mut uploads.log };
            let Some(upload) = slot.as_mut().filter(|upload| upload.due <= now) else { continue };
            let (announced, request_id) = (upload.announced, upload.request_id);
            let progress = match (announced, upload.fails) {
                (false, _) => Progress::Uploading,
                (true, false) => Progress::Uploaded,
                (true, true) => Progress::Failed,
            };
            if announced {
                *slot = None;
            } else {
                upload.announced = true;
                upload.due = now.after(self.options.transfer);
            }
            self.outbox.push(upload_status(diagnostics, progress, request_id));
        }
    }

    /// Reports the status asked for by a trigger.
    pub(crate) fn push_upload_status(&mut self, diagnostics: bool) {
        let slot = if diagnostics { &self.uploads.diagnostics } else { &self.uploads.log };
        let (progress, request_id) = match slot {
            Some(upload) => (Progress::Uploading, upload.request_id),
            None => (Progress::Idle, None),
        };
        let mut message = upload_status(diagnostics, progress, request_id);
        message.triggered = true;
        self.outbox.push(message);
    }
}

fn upload(now: Timestamp, location: &Value, request_id: Option<i64>) -> Upload {
    let name = location.as_str().and_then(|location| location.rsplit('/').next()).unwrap_or_default();
    Upload { request_id, fails: name.contains("upload-failed"), announced: false, due: now }
}

fn upload_status(diagnostics: bool, progress: Progress, request_id: Option<i64>) -> Message {
    if diagnostics {
        let status = match progress {
            Progress::Idle => DiagnosticsStatus::Idle,
            Progress::Uploading => DiagnosticsStatus::Uploading,
            Progress::Uploaded => DiagnosticsStatus::Uploaded,
            Progress::Failed => DiagnosticsStatus::UploadFailed,
        };
        return Message::new(&requests::diagnostics_status(status), About::Plain);
    }
    let status = match progress {
        Progress::Idle => LogUploadStatus::Idle,
        Progress::Uploading => LogUploadStatus::Uploading,
        Progress::Uploaded => LogUploadStatus::Uploaded,
        Progress::Failed => LogUploadStatus::UploadFailure,
    };
    Message::new(&LogStatusNotification { status, request_id }, About::Plain)
}
