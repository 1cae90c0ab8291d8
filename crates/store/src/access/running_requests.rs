//! Requests with an `Idempotency-Key` that are being served. They stand in memory alone until they change
//! something.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vocabulary::id::ApiKeyId;

/// The `Idempotency-Key` of a request that is running. No other request gets it as long as a copy of this is
/// held.
#[derive(Clone)]
pub struct RequestKey {
    pub(crate) api_key: ApiKeyId,
    pub(crate) key: String,
    /// Tells this request from others.
    pub(crate) hash: [u8; 32],
    _running: Arc<Running>,
}

/// The keys of running requests.
#[derive(Default)]
pub(crate) struct RunningRequests(Mutex<HashSet<(ApiKeyId, String)>>);

/// One of them, until it is dropped.
struct Running {
    key: (ApiKeyId, String),
    all: Arc<RunningRequests>,
}

impl RunningRequests {
    /// Marks a request as running; `None` if one with this key is running already.
    pub(crate) fn begin(
        self: &Arc<Self>,
        api_key: ApiKeyId,
        key: String,
        hash: [u8; 32],
    ) -> Option<RequestKey> {
        let named = (api_key, key.clone());
        let is_first = self.lock().insert(named.clone());
        let running = || Arc::new(Running { key: named, all: self.clone() });
        is_first.then(|| RequestKey { api_key, key, hash, _running: running() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<(ApiKeyId, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.all.lock().remove(&self.key);
    }
}
