//! Reports over the past.

use super::{Call, Client, Parameters};
use vocabulary::api::report::UptimeReport;

impl Client {
    /// How long connectors were up.
    pub fn uptime(&self, parameters: Parameters<'_>) -> Call<UptimeReport> {
        self.get(&["reports", "uptime"], parameters)
    }
}
