//! The settings of encryption at rest.

use std::path::{Path, PathBuf};

use super::key_source::{KeySource, SecretsKey};
use vocabulary::setting::{Rules, TextSetting, table};

table! {
    /// `[secrets]`: the key of what is secret in the database.
    pub struct Secrets {
        /// The file of the key, made with the database; `None`: `secrets.key` in the data directory.
        key_file: Option<PathBuf> = None,
        /// The key itself; then no file is looked at.
        key: Option<SecretsKey> = None,
    }
}

impl Rules for Secrets {}

impl Secrets {
    /// Where the key comes from for the database in `data_dir`.
    pub fn key_source(&self, data_dir: &Path) -> KeySource {
        match (&self.key, &self.key_file) {
            (Some(key), _) => KeySource::Given(key.clone()),
            (None, Some(path)) => KeySource::File(path.clone()),
            (None, None) => KeySource::file_in(data_dir),
        }
    }
}

impl TextSetting for SecretsKey {
    const FORM: &'static str = "a key such as \"openssl rand -hex 32\" makes";
}
