//! Charging sessions.

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::transaction::{CloseInput, MeterValue, Transaction, TransactionSummaries};
use vocabulary::api::why::Why;

impl Client {
    /// One page of the transactions.
    pub fn transactions(&self, parameters: Parameters<'_>) -> Call<Page<Transaction>> {
        self.get(&["transactions"], parameters)
    }

    /// What sessions come to that have ended; `group_by` has to be among the parameters.
    pub fn transaction_summary(&self, parameters: Parameters<'_>) -> Call<TransactionSummaries> {
        self.get(&["transactions", "summary"], parameters)
    }

    /// A transaction.
    pub fn transaction(&self, id: i64) -> Call<Transaction> {
        self.get(&["transactions", &id.to_string()], &[])
    }

    /// One page of a transaction's meter values, in the charger's time order.
    pub fn meter_values(&self, id: i64, parameters: Parameters<'_>) -> Call<Page<MeterValue>> {
        self.get(&["transactions", &id.to_string(), "meter-values"], parameters)
    }

    /// Closes a transaction whose stop never came.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 409 if it is completed.
    pub fn close_transaction(&self, id: i64, input: &CloseInput) -> Call<Transaction> {
        self.post(&["transactions", &id.to_string(), "close"], input)
    }

    /// Why a session is as it is, or why it ended.
    pub fn why_transaction(&self, id: i64) -> Call<Why> {
        self.get(&["transactions", &id.to_string(), "why"], &[])
    }
}
