//! Messages of the security extension (OCPP security whitepaper, edition 2), which `rust_ocpp` lacks.

use serde::Serialize;

use super::FirmwareStatus;
use vocabulary::clock::Timestamp;

/// An answer that is a status and nothing more.
#[derive(Serialize)]
pub(crate) struct StatusResponse<T> {
    pub(crate) status: T,
}

#[derive(Serialize)]
pub(crate) struct SecurityEventNotification<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub timestamp: Timestamp,
    #[serde(rename = "techInfo", skip_serializing_if = "Option::is_none")]
    pub tech_info: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct SignCertificate {
    /// PEM.
    pub csr: String,
}

/// How far an upload of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum LogUploadStatus {
    Idle,
    Uploaded,
    UploadFailure,
    Uploading,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogStatusNotification {
    pub status: LogUploadStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<i64>,
}

/// How far a signed update is; an update that is not signed knows only some of this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum SignedFirmwareStatus {
    Downloaded,
    DownloadFailed,
    Downloading,
    DownloadScheduled,
    Idle,
    InstallationFailed,
    Installed,
    Installing,
    InstallRebooting,
    InstallScheduled,
    InvalidSignature,
    SignatureVerified,
}

impl SignedFirmwareStatus {
    /// The status as an update that is not signed has it; `None` if it has none.
    pub(crate) fn unsigned(self) -> Option<FirmwareStatus> {
        match self {
            Self::Downloaded => Some(FirmwareStatus::Downloaded),
            Self::DownloadFailed => Some(FirmwareStatus::DownloadFailed),
            Self::Downloading => Some(FirmwareStatus::Downloading),
            Self::Idle => Some(FirmwareStatus::Idle),
            Self::InstallationFailed => Some(FirmwareStatus::InstallationFailed),
            Self::Installed => Some(FirmwareStatus::Installed),
            Self::Installing => Some(FirmwareStatus::Installing),
            Self::DownloadScheduled
            | Self::InstallRebooting
            | Self::InstallScheduled
            | Self::InvalidSignature
            | Self::SignatureVerified => None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignedFirmwareStatusNotification {
    pub status: SignedFirmwareStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<i64>,
}

/// How `SignedUpdateFirmware` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum UpdateFirmwareStatus {
    Accepted,
    AcceptedCanceled,
    InvalidCertificate,
    Rejected,
    RevokedCertificate,
}

/// How `GetLog` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum LogStatus {
    Accepted,
    AcceptedCanceled,
    Rejected,
}

#[derive(Serialize)]
pub(crate) struct GetLogResponse {
    pub status: LogStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

/// How `InstallCertificate` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum InstallCertificateStatus {
    Accepted,
    Failed,
    Rejected,
}

/// How `DeleteCertificate` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum DeleteCertificateStatus {
    Accepted,
    Failed,
    NotFound,
}

/// How `CertificateSigned` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum CertificateSignedStatus {
    Accepted,
    Rejected,
}

/// What names a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateHashData {
    pub hash_algorithm: &'static str,
    pub issuer_name_hash: String,
    pub issuer_key_hash: String,
    pub serial_number: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetInstalledCertificateIdsResponse {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_hash_data: Vec<CertificateHashData>,
}

impl GetInstalledCertificateIdsResponse {
    pub(crate) fn new(certificate_hash_data: Vec<CertificateHashData>) -> Self {
        let status = if certificate_hash_data.is_empty() { "NotFound" } else { "Accepted" };
        Self { status, certificate_hash_data }
    }
}
