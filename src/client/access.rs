//! API keys.

use super::{Call, Client};
use crate::api::access::{ApiKey, ApiKeyInput};

impl Client {
    /// Makes an API key. The answer shows it, and nothing else ever will.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field.
    pub fn create_api_key(&self, input: &ApiKeyInput) -> Call<ApiKey> {
        self.post(&["api-keys"], input)
    }
}
