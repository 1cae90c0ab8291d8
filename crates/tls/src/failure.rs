//! Why a TLS handshake failed, with advice what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsFailure {
    /// The client speaks nothing newer than TLS 1.1.
    VersionTooOld,
    /// The client and the gateway have no cipher suite, group or signature scheme in common.
    NothingInCommon,
    /// The client's certificate has expired.
    CertificateExpired,
    /// The client's certificate is not valid yet.
    CertificateNotYetValid,
    /// The client's certificate is of an authority that is not trusted.
    UnknownIssuer,
    /// The client's certificate is revoked.
    CertificateRevoked,
    /// The client's certificate cannot be read, is not meant for clients, or has a wrong signature.
    BadCertificate,
    /// The client has no certificate, but needs one.
    NoCertificate,
    /// The client does not trust the gateway's certificate.
    GatewayNotTrusted,
    /// The gateway's certificate has expired for the client.
    GatewayExpired,
    /// The client has refused for another reason.
    RefusedByClient,
    /// The client does not speak TLS.
    NotTls,
    /// The client has closed the connection.
    Closed,
    /// Anything else.
    Other,
}

impl TlsFailure {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::VersionTooOld,
        Self::NothingInCommon,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::UnknownIssuer,
        Self::CertificateRevoked,
        Self::BadCertificate,
        Self::NoCertificate,
        Self::GatewayNotTrusted,
        Self::GatewayExpired,
        Self::RefusedByClient,
        Self::NotTls,
        Self::Closed,
        Self::Other,
    ];

    /// What the error of a handshake means.
    pub fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => Self::of_tls(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Other,
            },
        }
    }

    fn of_tls(error: &Error) -> Self {
        match error {
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired
                // The extension came with TLS 1.2: a client without it is older.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13,
            ) => Self::VersionTooOld,
            Error::PeerIncompatible(_) => Self::NothingInCommon,
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            Error::InvalidMessage(_) => Self::NotTls,
            // The client can check none of the gateway's certificates.
            Error::General(_) => Self::NothingInCommon,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::CertificateExpired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::CertificateNotYetValid
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Revoked => Self::CertificateRevoked,
            _ => Self::BadCertificate,
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked => Self::GatewayNotTrusted,
            AlertDescription::CertificateExpired => Self::GatewayExpired,
            AlertDescription::ProtocolVersion => Self::VersionTooOld,
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                Self::NothingInCommon
            }
            AlertDescription::CloseNotify | AlertDescription::UserCanceled => Self::Closed,
            _ => Self::RefusedByClient,
        }
    }

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VersionTooOld => "tls_version_too_old",
            Self::NothingInCommon => "tls_nothing_in_common",
            Self::CertificateExpired => "tls_certificate_expired",
            Self::CertificateNotYetValid => "tls_certificate_not_yet_valid",
            Self::UnknownIssuer => "tls_unknown_issuer",
            Self::CertificateRevoked => "tls_certificate_revoked",
            Self::BadCertificate => "tls_bad_certificate",
            Self::NoCertificate => "tls_no_certificate",
            Self::GatewayNotTrusted => "tls_gateway_not_trusted",
            Self::GatewayExpired => "tls_gateway_certificate_expired",
            Self::RefusedByClient => "tls_refused_by_client",
            Self::NotTls => "tls_not_tls",
            Self::Closed => "tls_closed",
            Self::Other => "tls_other",
        }
    }

    /// The same for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::VersionTooOld => "its TLS protocol version is too old: TLS 1.2 or 1.3 is required",
            Self::NothingInCommon => "no TLS cipher suite, group or signature scheme in common",
            Self::CertificateExpired => "its client certificate has expired",
            Self::CertificateNotYetValid => "its client certificate is not valid yet",
            Self::UnknownIssuer => {
                "unknown issuer: its client certificate is not of an authority in tls_client_ca, or an intermediate \
                 certificate is missing"
            }
            Self::CertificateRevoked => "its client certificate is revoked",
            Self::BadCertificate => "its client certificate cannot be used",
            Self::NoCertificate => "no client certificate was given",
            Self::GatewayNotTrusted => {
                "it does not trust the gateway's certificate: its root certificate, or the name it connects to, does \
                 not fit"
            }
            Self::GatewayExpired => {
                "it takes the gateway's certificate for expired: renew it, or look at the station's clock"
            }
            Self::RefusedByClient => "it has broken the TLS handshake off",
            Self::NotTls => "what it sent is not TLS",
            Self::Closed => "it has closed the connection in the middle of the TLS handshake",
            Self::Other => "the TLS handshake failed",
        }
    }
}
