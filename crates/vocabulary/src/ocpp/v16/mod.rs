//! OCPP 1.6: its actions, a tolerant reader of what chargers send, and the answers to it.

pub mod answer;
pub mod command;
mod fields;
mod meter;
mod payload;
pub mod read;
pub mod request;
pub mod schemas;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ocpp::schema::Sources;

macro_rules! actions {
    ($(#[$doc:meta])* $name:ident { $($action:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the names are the specification's own")]
        pub enum $name { $($action),* }

        impl $name {
            /// Every action, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$action),*];

            /// The two schemas of each (`ocpp-schemas/1.6/`).
            const SCHEMAS: Sources = &[$((
                stringify!($action),
                include_str!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../ocpp-schemas/1.6/",
                    stringify!($action),
                    ".json"
                )),
                include_str!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../ocpp-schemas/1.6/",
                    stringify!($action),
                    "Response.json"
                )),
            )),*];

            /// The action as it is spelled in a frame.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$action => stringify!($action)),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownAction;

            fn from_str(text: &str) -> Result<Self, UnknownAction> {
                Self::ALL.iter().copied().find(|action| action.as_str() == text).ok_or(UnknownAction)
            }
        }
    };
}

/// An action that is not of this version or direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an action of OCPP 1.6 in this direction")]
pub struct UnknownAction;

actions! {
    /// What a charge point may ask of the central system: the ten core messages and the four of the
    /// security extension.
    FromChargePoint {
        Authorize, BootNotification, DataTransfer, DiagnosticsStatusNotification, FirmwareStatusNotification,
        Heartbeat, MeterValues, StartTransaction, StatusNotification, StopTransaction,
        LogStatusNotification, SecurityEventNotification, SignCertificate, SignedFirmwareStatusNotification,
    }
}

actions! {
    /// What the central system may ask of a charge point.
    FromCentralSystem {
        CancelReservation, ChangeAvailability, ChangeConfiguration, ClearCache, ClearChargingProfile,
        DataTransfer, GetCompositeSchedule, GetConfiguration, GetDiagnostics, GetLocalListVersion,
        RemoteStartTransaction, RemoteStopTransaction, ReserveNow, Reset, SendLocalList, SetChargingProfile,
        TriggerMessage, UnlockConnector, UpdateFirmware, CertificateSigned, DeleteCertificate,
        ExtendedTriggerMessage, GetInstalledCertificateIds, GetLog, InstallCertificate, SignedUpdateFirmware,
    }
}
