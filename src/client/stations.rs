//! Stations.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::message::Message;
use vocabulary::api::station::{ConfigurationKey, Connector, Disconnecting, ImportedStation, Station};

impl Client {
    /// Makes a station; `input` is the body of `POST /stations`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field, or is a 409 if there is one already.
    pub fn create_station(&self, input: &impl Serialize) -> Call<Station> {
        self.post(&["stations"], input)
    }

    /// One page of the stations.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong parameter.
    pub fn stations(&self, parameters: Parameters<'_>) -> Call<Page<Station>> {
        self.get(&["stations"], parameters)
    }

    /// A station.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none.
    pub fn station(&self, id: &str) -> Call<Station> {
        self.get(&["stations", id], &[])
    }

    /// Changes a station; `patch` is the body of `PATCH`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field.
    pub fn patch_station(&self, id: &str, patch: &impl Serialize) -> Call<Station> {
        self.patch(&["stations", id], patch)
    }

    /// Removes a station.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none.
    pub fn delete_station(&self, id: &str) -> Call<()> {
        self.delete(&["stations", id])
    }

    /// Makes or changes many stations; `rows` is a JSON array or a CSV, as `content_type` says
    /// (`application/json`, `text/csv`). Rows that are wrong are left out, and are an answer too.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] if the rows cannot be read at all, or are too many.
    pub fn import_stations(&self, content_type: &'static str, rows: Vec<u8>) -> Call<Page<ImportedStation>> {
        let request = self.request(Method::POST, &["stations", "import"], &[]);
        Call::new(request.header(CONTENT_TYPE, content_type).body(rows))
    }

    /// A station's connectors.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is no such station.
    pub fn connectors(&self, id: &str) -> Call<Page<Connector>> {
        self.get(&["stations", id, "connectors"], &[])
    }

    /// A station's configuration, as it was last read or set.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is no such station.
    pub fn configuration(&self, id: &str) -> Call<Page<ConfigurationKey>> {
        self.get(&["stations", id, "configuration"], &[])
    }

    /// One page of what went over a station's wire.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is no such station.
    pub fn messages(&self, id: &str, parameters: Parameters<'_>) -> Call<Page<Message>> {
        self.get(&["stations", id, "messages"], parameters)
    }

    /// Hangs up on a station.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if it is not connected.
    pub fn disconnect_station(&self, id: &str) -> Call<Disconnecting> {
        self.ask(&["stations", id, "disconnect"], &[])
    }
}
