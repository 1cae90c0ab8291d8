//! API keys, and what was done with them.

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::access::{ApiKey, ApiKeyInput};
use vocabulary::api::audit::AuditEntry;

impl Client {
    /// Makes an API key. The answer shows it, and nothing else ever will.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field.
    pub fn create_api_key(&self, input: &ApiKeyInput) -> Call<ApiKey> {
        self.post(&["api-keys"], input)
    }

    /// One page of the audit log.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong parameter.
    pub fn audit(&self, parameters: Parameters<'_>) -> Call<Page<AuditEntry>> {
        self.get(&["audit"], parameters)
    }
}
