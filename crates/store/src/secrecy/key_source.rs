//! The key that the secrets in the database are sealed with, and the file it is kept in: apart from the
//! database, so that a copy of that alone reveals none of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use tracing::info;

use crate::error::{KeyFault, NoSecretsKey, Result, StoreError};
use crate::files::{self, file_error};

/// The environment variable with the key that comes next. No setting: it is asked for once.
pub const NEW_KEY_VARIABLE: &str = "CHARGEHOOK_NEW_SECRETS_KEY";

/// The key's file in the data directory, unless another one is named.
const FILE_NAME: &str = "secrets.key";

/// 256 random bits, written as 64 hex digits or as the base64 of 32 bytes.
#[derive(Clone)]
pub struct SecretsKey([u8; Self::BYTES]);

impl SecretsKey {
    const BYTES: usize = 32;

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A fresh random one.
    pub(crate) fn generate() -> Result<Self> {
        let mut key = [0; Self::BYTES];
        getrandom::fill(&mut key).map_err(StoreError::NoRandomness)?;
        Ok(Self(key))
    }
}

impl FromStr for SecretsKey {
    type Err = NoSecretsKey;

    fn from_str(text: &str) -> std::result::Result<Self, NoSecretsKey> {
        let text = text.trim();
        let bytes = hex::decode(text).or_else(|_| STANDARD.decode(text)).map_err(|_| NoSecretsKey)?;
        bytes.try_into().map(Self).map_err(|_| NoSecretsKey)
    }
}

impl fmt::Debug for SecretsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretsKey(***)")
    }
}

impl PartialEq for SecretsKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretsKey {}

/// Where the key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// This file, which is made if the database has nothing sealed yet.
    File(PathBuf),
    /// The configuration.
    Given(SecretsKey),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Given(_) => f.write_str("secrets.key of the configuration"),
        }
    }
}

impl KeySource {
    /// The file in this data directory.
    pub fn file_in(data_dir: &Path) -> Self {
        Self::File(data_dir.join(FILE_NAME))
    }

    /// The key; `None` if its file does not exist.
    ///
    /// # Errors
    /// [`KeyFault::Malformed`]; the file's. Nothing is made.
    pub fn read(&self) -> Result<Option<SecretsKey>> {
        let path = match self {
            Self::Given(key) => return Ok(Some(key.clone())),
            Self::File(path) => path,
        };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error(path, &error)),
        };
        files::warn_of_open([path.as_path()]);
        let key = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        key.map(Some).ok_or_else(|| KeyFault::Malformed(path.clone()).into())
    }

    /// The key, which is made and written to its file if there is none.
    pub(crate) fn read_or_make(&self) -> Result<SecretsKey> {
        match (self.read()?, self) {
            (Some(key), _) => Ok(key),
            (None, Self::Given(key)) => Ok(key.clone()),
            (None, Self::File(path)) => {
                let key = SecretsKey::generate()?;
                write(path, &key)?;
                info!(
                    "the key of the database's secrets was made: {}; keep a copy of it apart from the database",
                    path.display()
                );
                Ok(key)
            }
        }
    }
}

/// Writes a key's file for its owner alone: whole and on disk, or not at all. One that exists is left as it
/// is.
pub(crate) fn write(path: &Path, key: &SecretsKey) -> Result<()> {
    // What is sealed with it must not outlive it: it is on disk, name and all, when this is done.
    files::write_new(path, format!("{}\n", hex::encode(key.0)).as_bytes())
}

/// Where the next key waits while the database is still sealed under the one before.
pub(crate) fn next_file(path: &Path) -> PathBuf {
    files::with_suffix(path, ".next")
}

/// The key that waits beside the one of `source`, if there is one that can be read.
pub(crate) fn next(source: &KeySource) -> Option<SecretsKey> {
    let KeySource::File(path) = source else { return None };
    KeySource::File(next_file(path)).read().ok().flatten()
}

/// Gives the next key its name, once the database is sealed under it. Returns where the key before is kept:
/// backups are sealed under that.
pub(crate) fn put_in_place(path: &Path) -> Result<Option<PathBuf>> {
    let kept = match path.exists() {
        true => Some(files::keep_aside(path, &[""])?),
        false => None,
    };
    std::fs::rename(next_file(path), path).map_err(|error| file_error(path, &error))?;
    files::sync(files::directory_of(path))?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hex_or_base64_of_32_bytes_and_never_shown() {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let key: SecretsKey = hex.parse().expect("hex");
        assert_eq!(Ok(key.clone()), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".parse());
        for wrong in ["", "0001", &hex[2..], "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="] {
            assert_eq!(wrong.parse::<SecretsKey>(), Err(NoSecretsKey), "{wrong}");
        }
        assert_eq!(format!("{:?}", KeySource::Given(key)), "Given(SecretsKey(***))");
    }

    #[test]
    #[cfg(unix)]
    fn a_key_that_is_made_is_its_owners_alone_and_stays() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let source = KeySource::file_in(dir.path());
        assert_eq!(source.read().expect("reads"), None);
        let made = source.read_or_make().expect("makes");
        assert_eq!(source.read_or_make().expect("reads"), made);
        let path = dir.path().join(FILE_NAME);
        let mode = std::fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&path, "nonsense").expect("writes");
        assert!(matches!(source.read(), Err(StoreError::Key(KeyFault::Malformed(_)))));
        assert_ne!(SecretsKey::generate().expect("random"), made);
    }
}
