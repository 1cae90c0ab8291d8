//! Stations.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::message::Message;
use vocabulary::api::station::{ConfigurationKey, Connector, Disconnecting, ImportedStation, Station};
use vocabulary::api::station_summary::StationCount;
use vocabulary::api::why::Why;

impl Client {
    /// Creates a station; `input` is the body of `POST /stations`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field, or is a 409 if there is one already.
    pub fn create_station(&self, input: &impl Serialize) -> Call<Station> {
        self.post(&["stations"], input)
    }

    /// One page of the stations.
    pub fn stations(&self, parameters: Parameters<'_>) -> Call<Page<Station>> {
        self.get(&["stations"], parameters)
    }

    /// A station.
    pub fn station(&self, id: &str) -> Call<Station> {
        self.get(&["stations", id], &[])
    }

    /// Changes a station; `patch` is the body of `PATCH`.
    pub fn patch_station(&self, id: &str, patch: &impl Serialize) -> Call<Station> {
        self.patch(&["stations", id], patch)
    }

    /// Deletes a station.
    pub fn delete_station(&self, id: &str) -> Call<()> {
        self.delete(&["stations", id])
    }

    /// Creates or changes many stations; `rows` is a JSON array or a CSV, as `content_type` says
    /// (`application/json`, `text/csv`). Wrong rows are left out and named in the answer.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] if the rows cannot be read at all, or are too many.
    pub fn import_stations(&self, content_type: &'static str, rows: Vec<u8>) -> Call<Page<ImportedStation>> {
        let request = self.request(Method::POST, &["stations", "import"], &[]);
        self.call(request.header(CONTENT_TYPE, content_type).body(rows))
    }

    /// A station's connectors.
    pub fn connectors(&self, id: &str) -> Call<Page<Connector>> {
        self.get(&["stations", id, "connectors"], &[])
    }

    /// One page of the connectors of all stations.
    pub fn all_connectors(&self, parameters: Parameters<'_>) -> Call<Page<Connector>> {
        self.get(&["connectors"], parameters)
    }

    /// How many stations there are of each kind; `parameters` name what they are grouped by (`group_by`).
    pub fn station_summary(&self, parameters: Parameters<'_>) -> Call<Page<StationCount>> {
        self.get(&["stations", "summary"], parameters)
    }

    /// A station's configuration, as it was last read or set.
    pub fn configuration(&self, id: &str) -> Call<Page<ConfigurationKey>> {
        self.get(&["stations", id, "configuration"], &[])
    }

    /// One page of a station's OCPP messages.
    pub fn messages(&self, id: &str, parameters: Parameters<'_>) -> Call<Page<Message>> {
        self.get(&["stations", id, "messages"], parameters)
    }

    /// Disconnects a station.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if it is not connected.
    pub fn disconnect_station(&self, id: &str) -> Call<Disconnecting> {
        self.ask(&["stations", id, "disconnect"], &[])
    }

    /// Why a station is as it is, or is refused.
    pub fn why_station(&self, id: &str) -> Call<Why> {
        self.get(&["stations", id, "why"], &[])
    }
}
