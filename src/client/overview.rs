//! Everything at a glance.

use super::{Call, Client, Parameters};
use vocabulary::api::overview::Overview;

impl Client {
    /// Counts of what there is, and what a person should see to.
    pub fn overview(&self, parameters: Parameters<'_>) -> Call<Overview> {
        self.get(&["overview"], parameters)
    }
}
