//! Deliveries.

use super::{Call, Client, Parameters, flag};
use vocabulary::api::Page;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::replay::{Replay, ReplayMatched};
use vocabulary::api::why::Why;
use vocabulary::id::DeliveryId;

impl Client {
    /// One page of the deliveries.
    pub fn deliveries(&self, parameters: Parameters<'_>) -> Call<Page<Delivery>> {
        self.get(&["deliveries"], parameters)
    }

    /// One page of the dead letters.
    pub fn failed_deliveries(&self, parameters: Parameters<'_>) -> Call<Page<Delivery>> {
        self.get(&["failed-deliveries"], parameters)
    }

    /// A delivery.
    pub fn delivery(&self, id: DeliveryId) -> Call<Delivery> {
        self.get(&["deliveries", &id.to_string()], &[])
    }

    /// Sends a delivery again; one that has arrived only with `force`.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 409 if it cannot be sent again now.
    pub fn resend(&self, id: DeliveryId, force: bool) -> Call<Delivery> {
        self.ask(&["deliveries", &id.to_string(), "resend"], &[("force", flag(force))])
    }

    /// Sends all deliveries again that fit the parameters, which are those of the list.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong parameter, and those of which one is missing.
    pub fn resend_all(&self, parameters: Parameters<'_>) -> Call<Replay> {
        self.ask(&["deliveries", "resend"], parameters)
    }

    /// Counts what [`Client::resend_all`] would send.
    pub fn count_resend(&self, parameters: Parameters<'_>) -> Call<ReplayMatched> {
        let parameters: Vec<(&str, &str)> =
            parameters.iter().copied().chain([("dry_run", flag(true))]).collect();
        self.ask(&["deliveries", "resend"], &parameters)
    }

    /// Discards a delivery that has not come to its end.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 409 if it has come to its end.
    pub fn cancel_delivery(&self, id: DeliveryId) -> Call<Delivery> {
        self.ask(&["deliveries", &id.to_string(), "cancel"], &[])
    }

    /// Why an event did not reach its receiver, or has not so far.
    pub fn why_delivery(&self, id: DeliveryId) -> Call<Why> {
        self.get(&["deliveries", &id.to_string(), "why"], &[])
    }
}
