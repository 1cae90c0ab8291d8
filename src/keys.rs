//! API keys on a data directory: how they are made, the first one of an installation, and `chargehook keys`.
//!
//! A key is `chk_` and 64 hex digits: 256 random bits, so its SHA-256 needs no salt to be safe in the store.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use store::{ApiKeyFilter, NewKey, Slice, Store, StoreError, files};
use vocabulary::api::access::{ApiKey, ApiKeyInput};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::similar_name::nearest;
use vocabulary::subscription::glob_fits;

/// The file that holds the first key, if it was generated.
pub const ADMIN_KEY_FILE: &str = "admin-key";

/// The environment variable with the first admin key, and with the key of the programs that call a gateway.
/// No setting.
pub const API_KEY_VARIABLE: &str = "CHARGEHOOK_API_KEY";

/// The shortest key that [`API_KEY_VARIABLE`] may bring.
const GIVEN_KEY_MIN_CHARS: usize = 16;

/// The longest name of a key or a customer, in characters; so says the schema of the API too.
const NAME_MAX_CHARS: usize = 200;

/// The scopes there are, but for those of single commands.
const SCOPES: [&str; 4] = ["read", "write", "command", "admin"];

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness to give.
    #[error("no randomness for a key: {0}")]
    Random(getrandom::Error),
    /// [`API_KEY_VARIABLE`] cannot be the first key.
    #[error("{API_KEY_VARIABLE} {0}")]
    Unusable(&'static str),
    /// What was asked for cannot be: which part of it, and why.
    #[error("{0}")]
    Wrong(String),
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

/// What is wrong with a scope (`read`, `write`, `command`, `command:PATTERN`, `admin`); `None` for one that
/// there is.
pub fn wrong_scope(scope: &str) -> Option<String> {
    if let Some(pattern) = scope.strip_prefix("command:") {
        return wrong_pattern(pattern);
    }
    let wrong = || format!("must be read, write, command, command:PATTERN or admin{}", hint(scope, SCOPES));
    (!SCOPES.contains(&scope)).then(wrong)
}

/// A pattern that fits no command would make a key that can do nothing, and nobody would see why.
fn wrong_pattern(pattern: &str) -> Option<String> {
    let actions = || Protocol::ALL.into_iter().flat_map(CommandAction::all).map(CommandAction::as_str);
    let legal = pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'*');
    if !(1..=64).contains(&pattern.len()) || !legal {
        return Some(
            "must be command: and the name of a command, in which * stands for any letters".to_owned(),
        );
    }
    let fits = actions().any(|action| glob_fits(pattern.as_bytes(), action.as_bytes()));
    let name = pattern.replace('*', "");
    let begun = |action: &&str| {
        name.len() > 2 && action.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&name))
    };
    // The beginning of a name is nearer to it than any other name of that length.
    let hint = || match actions().find(begun) {
        Some(action) => hint(action, [action]),
        None => hint(&name, actions()),
    };
    (!fits).then(|| format!("fits no command of OCPP 1.6{}", hint()))
}

fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|known| format!("; did you mean {known}?")).unwrap_or_default()
}

/// What is wrong with the name of a key, or of a customer; `None` for one that people can read.
pub fn wrong_name(name: &str) -> Option<&'static str> {
    match name.chars().count() {
        _ if name.trim().is_empty() => Some("must not be empty"),
        _ if name.chars().any(char::is_control) => Some("must not have control characters"),
        0..=NAME_MAX_CHARS => None,
        _ => Some("must have at most 200 characters"),
    }
}

/// Makes a key. What is returned has the key itself, and is the only thing that ever has.
///
/// # Errors
/// [`KeyError::Wrong`] for a scope there is not, or a name; the store's.
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
    if let Some(message) = wrong_name(&input.name) {
        return Err(KeyError::Wrong(format!("the name {message}")));
    }
    if let Some(message) = input.owner_id.as_deref().and_then(wrong_name) {
        return Err(KeyError::Wrong(format!("the owner {message}")));
    }
    if input.scopes.is_empty() {
        return Err(KeyError::Wrong("a key needs a scope".to_owned()));
    }
    let wrong = input.scopes.iter().find_map(|scope| Some((scope, wrong_scope(scope)?)));
    if let Some((scope, message)) = wrong {
        return Err(KeyError::Wrong(format!("{scope:?} is no scope: it {message}")));
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
        let slice = Slice { ascending: true, after, limit: 500 };
        let page = store.api_keys(ApiKeyFilter::default(), slice).await?;
        keys.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return Ok(keys);
        }
    }
}

/// The key of [`API_KEY_VARIABLE`], as requests bring it: without blanks around it. An empty one is none.
///
/// # Errors
/// [`KeyError::Unusable`] if it is no text.
pub fn given() -> Result<Option<String>, KeyError> {
    let Some(given) = std::env::var_os(API_KEY_VARIABLE) else { return Ok(None) };
    let text = given.into_string().map_err(|_| KeyError::Unusable("is not UTF-8"))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn check_first(key: &str) -> Result<(), KeyError> {
    match key.chars().count() {
        _ if key.chars().any(char::is_control) => {
            Err(KeyError::Unusable("must be one line: no request can bring it otherwise"))
        }
        0..GIVEN_KEY_MIN_CHARS => Err(KeyError::Unusable(
            "must have at least 16 characters to be the admin key; without it one is generated",
        )),
        _ => Ok(()),
    }
}

/// Says before anything is made in `data_dir` whether `given` can be the first key there. Where there is a
/// database it need not be.
///
/// # Errors
/// [`KeyError::Unusable`].
pub fn check_given(data_dir: &Path, given: Option<&str>) -> Result<(), KeyError> {
    match given {
        Some(key) if !Store::exists_in(data_dir) => check_first(key),
        _ => Ok(()),
    }
}

/// Sees to it that an installation has a key: if it has none, `given`
/// ([`API_KEY_VARIABLE`]) becomes the admin key, or one is generated and written to a file in `data_dir`.
///
/// # Errors
/// [`KeyError::Unusable`] for a given key that is needed; the file's; the store's.
pub async fn ensure_first(
    store: &Store,
    data_dir: &Path,
    given: Option<&str>,
    now: Timestamp,
) -> Result<FirstKey, KeyError> {
    files::warn_of_open([data_dir.join(ADMIN_KEY_FILE).as_path()]);
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
    let (key, outcome, written) = match given {
        Some(key) => {
            check_first(key)?;
            (key.to_owned(), FirstKey::Given, None)
        }
        None => {
            let key = generate()?;
            // Written first: a key that is in force but nowhere to be read would lock everybody out.
            let path = write_admin_key(data_dir, &key)?;
            (key, FirstKey::Generated(path.clone()), Some(path))
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
        // Another node was quicker, and has the key.
        None => {
            written.iter().try_for_each(|path| files::remove(path))?;
            Ok(FirstKey::Existing { given_is_valid: None })
        }
    }
}

fn write_admin_key(data_dir: &Path, key: &str) -> Result<PathBuf, KeyError> {
    let path = data_dir.join(ADMIN_KEY_FILE);
    // What is left of another database opens nothing here.
    files::remove(&path)?;
    files::write_new(&path, format!("{key}\n").as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_for_commands_fits_one_at_least() {
        for good in ["read", "admin", "command", "command:Reset", "command:Remote*", "command:*"] {
            assert_eq!(wrong_scope(good), None, "{good}");
        }
        for (wrong, words) in [
            ("command:Nope", "fits no command"),
            ("command:RemoteStart", "did you mean RemoteStartTransaction?"),
            ("command:reset", "did you mean Reset?"),
            ("command:Rmote*", "fits no command"),
            ("command:", "the name of a command"),
            ("command:a b", "the name of a command"),
            ("Read", "did you mean read?"),
            ("fly", "must be read, write"),
        ] {
            let message = wrong_scope(wrong).expect(wrong);
            assert!(message.contains(words), "{wrong}: {message}");
        }
    }

    #[test]
    fn a_name_can_be_read() {
        assert_eq!(wrong_name("billing of ACME"), None);
        assert_eq!(wrong_name(&"ä".repeat(NAME_MAX_CHARS)), None);
        for wrong in ["", "  ", "a\nb", &"a".repeat(NAME_MAX_CHARS + 1)] {
            assert!(wrong_name(wrong).is_some(), "{wrong:?}");
        }
    }
}
