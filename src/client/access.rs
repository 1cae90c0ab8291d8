//! API keys and the audit log.

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::access::{ApiKey, ApiKeyInput};
use vocabulary::api::audit::AuditEntry;
use vocabulary::id::ApiKeyId;

impl Client {
    /// Creates an API key. Only this answer shows it.
    pub fn create_api_key(&self, input: &ApiKeyInput) -> Call<ApiKey> {
        self.post(&["api-keys"], input)
    }

    /// One page of the API keys.
    pub fn api_keys(&self, parameters: Parameters<'_>) -> Call<Page<ApiKey>> {
        self.get(&["api-keys"], parameters)
    }

    /// Revokes an API key.
    pub fn revoke_api_key(&self, id: ApiKeyId) -> Call<()> {
        self.delete(&["api-keys", &id.to_string()])
    }

    /// One page of the audit log.
    pub fn audit(&self, parameters: Parameters<'_>) -> Call<Page<AuditEntry>> {
        self.get(&["audit"], parameters)
    }
}
