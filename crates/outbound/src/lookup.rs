//! Looks up the addresses of a name with the system's resolver.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

/// The name has no address, or no name server could be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} does not resolve: {reason}")]
pub struct LookupError {
    /// The name that was looked up.
    pub name: String,
    /// What the system's resolver said.
    pub reason: String,
}

type Found = Result<Vec<IpAddr>, LookupError>;

/// Look-ups under way, by name. The system's resolver keeps a thread for as long as a name server is silent.
/// With a shared look-up a dead name does not take a thread for every attempt.
#[derive(Clone, Default)]
pub(super) struct Lookups(Arc<Mutex<HashMap<String, Shared<BoxFuture<'static, Found>>>>>);

impl Lookups {
    /// Like [`lookup`], but callers at the same time share one look-up of a name.
    pub(super) async fn lookup(&self, name: &str) -> Found {
        let shared = {
            let mut under_way = self.lock();
            match under_way.get(name) {
                Some(shared) => shared.clone(),
                None => {
                    let shared = self.start(name.to_owned());
                    under_way.insert(name.to_owned(), shared.clone());
                    shared
                }
            }
        };
        shared.await
    }

    /// Runs the look-up in a task of its own, so that it ends and is removed even if all callers give up.
    fn start(&self, name: String) -> Shared<BoxFuture<'static, Found>> {
        let (lookups, asked) = (self.clone(), name.clone());
        let task = tokio::spawn(async move {
            let found = lookup(&asked).await;
            lookups.lock().remove(&asked);
            found
        });
        let cut_off = move |_| Err(LookupError { name, reason: "the look-up was cut off".to_owned() });
        task.map(move |ended| ended.unwrap_or_else(cut_off)).boxed().shared()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Shared<BoxFuture<'static, Found>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every address of `name`, unchecked, in the system's order.
///
/// # Errors
/// [`LookupError`] if there is none.
pub async fn lookup(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let fail = |error: io::Error| LookupError { name: name.to_owned(), reason: plain_reason(&error) };
    let addresses: Vec<IpAddr> =
        tokio::net::lookup_host((name, 0)).await.map_err(fail)?.map(|found| found.ip()).collect();
    if addresses.is_empty() {
        return Err(fail(io::Error::other("no address")));
    }
    Ok(addresses)
}

/// The C library's words, without the preamble that the standard library puts before them.
fn plain_reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn concurrent_questions_for_a_name_share_one_answer() {
        let lookups = Lookups::default();
        let first = tokio::spawn({
            let lookups = lookups.clone();
            async move { lookups.lookup("localhost").await }
        });
        let (one, two) = tokio::join!(lookups.lookup("localhost"), lookups.lookup("localhost"));
        assert_eq!(one.expect("localhost"), two.expect("localhost"));
        assert!(first.await.expect("no panic").is_ok());
        assert!(lookups.lock().is_empty(), "forgotten once answered");
    }

    #[tokio::test]
    async fn a_name_without_address_says_so() {
        let error = lookup("no-such-name.invalid").await.expect_err("reserved by RFC 2606");
        assert!(error.to_string().starts_with("no-such-name.invalid does not resolve: "), "{error}");
    }
}
