//! What commands are for, whatever version of the protocol they are of: as far as something follows from
//! their end.

use crate::clock::Timestamp;

/// What a command is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// A session is to start.
    StartSession(RemoteStart),
    /// A connector is to be reserved.
    Reserve(Reserve),
    /// A reservation is to be canceled.
    CancelReservation {
        /// The number that the station knows it by.
        reservation_id: i64,
    },
    /// A connector is to be taken out of service, or put back into it.
    ChangeAvailability {
        /// Which; 0 is the whole station.
        connector_id: i64,
        /// Whether it is to serve.
        operative: bool,
    },
    /// The station is to tell its configuration.
    ReadConfiguration,
    /// A key of the station's configuration is to be set.
    SetConfiguration(SetConfiguration),
    /// The station is to use a certificate that it has asked for.
    SendCertificate {
        /// The certificates, as PEM, the station's own first.
        chain: String,
    },
    /// The station is to have this version of the local authorisation list.
    SendLocalList {
        /// The version's number.
        version: i64,
    },
    /// The station is to tell which version of the local authorisation list it has.
    ReadLocalListVersion,
    /// Nothing that anything follows from.
    Other,
}

/// Which session is to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteStart {
    /// The tag that it is for.
    pub id_tag: String,
    /// Where; any connector without.
    pub connector_id: Option<i64>,
}

/// What is to be reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserve {
    /// The number that the station is to know it by.
    pub reservation_id: i64,
    /// Where; 0 is any connector.
    pub connector_id: i64,
    /// The tag that it is for.
    pub id_tag: String,
    /// The group whose other tags may use it too.
    pub parent_id_tag: Option<String>,
    /// When it is over.
    pub expiry_date: Timestamp,
}

/// What is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetConfiguration {
    /// The key as it was spelled.
    pub key: String,
    /// Its value; `None` for a secret.
    pub value: Option<String>,
}

/// A key as a charger told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationKey {
    /// As the charger spells it.
    pub key: String,
    /// Its value, `None` for a secret too; booleans and numbers as the text they should have been.
    pub value: Option<String>,
    /// Whether it cannot be set; `None` if the charger did not say.
    pub readonly: Option<bool>,
}

/// What a charger told of its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The keys it knows.
    pub keys: Vec<ConfigurationKey>,
    /// The keys it was asked for and does not know.
    pub unknown: Vec<String>,
}
