//! API keys on a data directory: how they are made, the first one of an installation, and `chargehook keys`.
//!
//! A key is `chk_` and 64 hex digits: 256 random bits, so its SHA-256 needs no salt to be safe in the store.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::api::access::{ApiKey, ApiKeyInput};
use crate::clock::Timestamp;
use crate::store::{NewKey, Slice, Store, StoreError};

/// The file that holds the first key, if it was generated.
pub const ADMIN_KEY_FILE: &str = "admin-key";

/// The environment variable with the first admin key, and with the key of the programs that call a gateway. No
/// setting.
pub const API_KEY_VARIABLE: &str = "CHARGEHOOK_API_KEY";

/// The shortest key that [`API_KEY_VARIABLE`] may bring.
const GIVEN_KEY_MIN_CHARS: usize = 16;

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness to give.
    #[error("no randomness for a key: {0}")]
    Random(getrandom::Error),
    /// [`API_KEY_VARIABLE`] is too short to be safe.
    #[error("{API_KEY_VARIABLE} must have at least {GIVEN_KEY_MIN_CHARS} characters")]
    TooShort,
    /// A scope that there is not.
    #[error("{0}")]
    Scope(String),
    /// The file with the first key could not be written.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
}

/// What became of an installation's first key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstKey {
    /// There are keys; `given_is_valid` says whether the given one, if any, is among them.
    Existing {
        /// `Some(false)` is worth a warning.
        given_is_valid: Option<bool>,
    },
    /// The given key is the admin key now.
    Given,
    /// A key was generated, and is in this file (mode 0600).
    Generated(PathBuf),
}

/// SHA-256 of a key: what the store knows it by.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn generate() -> Result<String, KeyError> {
    let mut bits = [0u8; 32];
    getrandom::fill(&mut bits).map_err(KeyError::Random)?;
    Ok(format!("chk_{}", hex::encode(bits)))
}

/// Whether a text is a scope that a key can have: `read`, `write`, `command`, `command:PATTERN`, `admin`.
pub fn is_scope(text: &str) -> bool {
    matches!(text, "read" | "write" | "command" | "admin")
        || text.strip_prefix("command:").is_some_and(|pattern| {
            (1..=64).contains(&pattern.len())
                && pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*')
        })
}

/// What is wrong with a scope; `None` for one that there is.
pub fn wrong_scope(scope: &str) -> Option<&'static str> {
    (!is_scope(scope)).then_some("must be read, write, command, command:PATTERN or admin")
}

/// Makes a key. What is returned has the key itself, and is the only thing that ever has.
///
/// # Errors
/// [`KeyError::Scope`] for a scope there is not; the store's.
pub async fn create(store: &Store, input: ApiKeyInput) -> Result<ApiKey, KeyError> {
    let (key, new) = fresh(input)?;
    Ok(ApiKey { key: Some(key), ..store.create_api_key(new).await? })
}

/// The same for somebody at the data directory: the audit log tells of it.
///
/// # Errors
/// As [`create`].
pub async fn create_by_hand(store: &Store, input: ApiKeyInput) -> Result<ApiKey, KeyError> {
    let (key, new) = fresh(input)?;
    Ok(ApiKey { key: Some(key), ..store.create_api_key_by_hand(new).await? })
}

/// A key that is to be made, and what the store gets of it.
fn fresh(input: ApiKeyInput) -> Result<(String, NewKey), KeyError> {
    let wrong = input.scopes.iter().find_map(|scope| Some((scope, wrong_scope(scope)?)));
    if let Some((scope, message)) = wrong {
        return Err(KeyError::Scope(format!("{scope:?} is no scope: it {message}")));
    }
    let key = generate()?;
    let hash = hash(&key);
    let ApiKeyInput { name, scopes, owner_id, expires_at } = input;
    Ok((key, NewKey { name, scopes, owner_id, expires_at, hash }))
}

/// Every key, the oldest first.
///
/// # Errors
/// The store's.
pub async fn list(store: &Store) -> Result<Vec<ApiKey>, StoreError> {
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = store.api_keys(None, (None, None), Slice { ascending: true, after, limit: 500 }).await?;
        keys.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

/// Sees to it that an installation has a key: if it has none, `given`
/// ([`API_KEY_VARIABLE`]) becomes the admin key, or one is generated and written to a file in `data_dir`.
///
/// # Errors
/// [`KeyError::TooShort`] for a given key that is needed; the file's; the store's.
pub async fn ensure_first(
    store: &Store,
    data_dir: &Path,
    given: Option<&str>,
    now: Timestamp,
) -> Result<FirstKey, KeyError> {
    if store.has_api_keys().await? {
        let given_is_valid = match given {
            None => None,
            Some(key) => {
                let known = store.api_key(hash(key)).await?;
                Some(known.is_some_and(|facts| facts.expires_at.is_none_or(|end| end > now)))
            }
        };
        return Ok(FirstKey::Existing { given_is_valid });
    }
    let (key, outcome) = match given {
        Some(key) if key.chars().count() < GIVEN_KEY_MIN_CHARS => return Err(KeyError::TooShort),
        Some(key) => (key.to_owned(), FirstKey::Given),
        None => {
            let key = generate()?;
            // Written first: a key that is in force but nowhere to be read would lock everybody out.
            let path = write_admin_key(data_dir, &key)?;
            (key, FirstKey::Generated(path))
        }
    };
    let admin = NewKey {
        name: "admin".into(),
        scopes: vec!["admin".into()],
        owner_id: None,
        expires_at: None,
        hash: hash(&key),
    };
    match store.create_first_api_key(admin).await? {
        Some(_) => Ok(outcome),
        None => Ok(FirstKey::Existing { given_is_valid: None }),
    }
}

fn write_admin_key(data_dir: &Path, key: &str) -> Result<PathBuf, KeyError> {
    let path = data_dir.join(ADMIN_KEY_FILE);
    let failed = |error: std::io::Error| KeyError::File { path: path.clone(), reason: error.to_string() };
    // A leftover may have another mode, which opening it anew would keep.
    if path.exists() {
        std::fs::remove_file(&path).map_err(failed)?;
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(failed)?;
    writeln!(file, "{key}").and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(path)
}
