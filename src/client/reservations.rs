//! Reservations.

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::reservation::Reservation;

impl Client {
    /// One page of the reservations.
    pub fn reservations(&self, parameters: Parameters<'_>) -> Call<Page<Reservation>> {
        self.get(&["reservations"], parameters)
    }
}
