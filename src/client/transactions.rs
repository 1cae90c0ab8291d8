//! Charging sessions.

use super::{Call, Client, Parameters};
use crate::api::Page;
use crate::api::transaction::Transaction;

impl Client {
    /// One page of the transactions.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong parameter.
    pub fn transactions(&self, parameters: Parameters<'_>) -> Call<Page<Transaction>> {
        self.get(&["transactions"], parameters)
    }

    /// A transaction.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none.
    pub fn transaction(&self, id: i64) -> Call<Transaction> {
        self.get(&["transactions", &id.to_string()], &[])
    }
}
