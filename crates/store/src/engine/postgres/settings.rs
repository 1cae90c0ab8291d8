//! The settings of where everything is kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::engine::postgres::address::{Address, InvalidAddress};
use crate::error;
use crate::files::file_error;
use vocabulary::setting::{Broken, Given, Rules, Setting, TextSetting, table};

table! {
    /// `[store]`: where everything is kept.
    pub struct StoreSettings {
        /// The database of PostgreSQL; `None`: SQLite in the data directory.
        url: Option<StoreUrl> = None,
        /// The file with its password, in place of one in the URL.
        password_file: Option<PathBuf> = None,
        /// The password itself; then no file is looked at.
        password: Option<StorePassword> = None,
    }
}

impl Rules for StoreSettings {
    fn check(&self, broken: &mut Broken) {
        let is_used = |given: bool| self.url.is_some() || !given;
        broken.unless(is_used(self.password_file.is_some()), "password_file", "needs store.url");
        broken.unless(is_used(self.password.is_some()), "password", "needs store.url");
    }
}

impl StoreSettings {
    /// Whether it is a database of PostgreSQL.
    pub fn is_shared(&self) -> bool {
        self.url.is_some()
    }

    /// The database of PostgreSQL with the password for it; `None`: SQLite in the data directory. Reads the
    /// password's file.
    ///
    /// # Errors
    /// [`StoreError::File`](crate::StoreError::File).
    pub fn address(&self) -> error::Result<Option<Address>> {
        let Some(url) = &self.url else { return Ok(None) };
        let read = match (&self.password, &self.password_file) {
            (Some(StorePassword(password)), _) => Some(password.clone()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| file_error(path, &error))?;
                // As editors and `echo` end it.
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (None, None) => None,
        };
        Ok(Some(match read {
            Some(password) => url.0.with_password(&password),
            None => url.0.clone(),
        }))
    }
}

/// The URL of a database. What it shows of itself has neither user nor password.
#[derive(Clone)]
pub struct StoreUrl(Address);

impl FromStr for StoreUrl {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        Address::parse(text, None).map(Self)
    }
}

impl TextSetting for StoreUrl {
    const FORM: &'static str = "a URL such as \"postgres://chargehook@db.example.com/chargehook\"";
}

impl From<Address> for StoreUrl {
    fn from(address: Address) -> Self {
        Self(address)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.0.to_string()).finish()
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for StoreUrl {}

/// The password of a database; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct StorePassword(String);

impl Setting for StorePassword {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text("a password")? {
            "" => Err("a password is expected, not an empty text".to_owned()),
            password => Ok(Self(password.to_owned())),
        }
    }
}

impl fmt::Debug for StorePassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorePassword(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> StoreUrl {
        text.parse().expect("a URL")
    }

    #[test]
    fn no_password_is_ever_shown() {
        let settings = StoreSettings {
            url: Some(url("postgres://user:secret@db.example/charge")),
            password: Some(StorePassword("other secret".into())),
            ..StoreSettings::default()
        };
        let shown = format!("{settings:?} {:?}", settings.address());
        assert!(shown.contains("db.example") && !shown.contains("secret"), "{shown}");
        let refused = "postgres://user:secret@db.example/charge?sslmode=maybe".parse::<StoreUrl>();
        assert!(!refused.expect_err("no mode").to_string().contains("secret"));
    }

    #[test]
    fn a_password_of_the_file_or_the_settings_stands_in_for_the_one_of_the_url() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        std::fs::write(&path, "of the file\n").expect("written");
        let mut settings = StoreSettings {
            url: Some(url("postgres://user:secret@db.example/charge")),
            ..StoreSettings::default()
        };
        let password = |settings: &StoreSettings| {
            let address = settings.address().expect("it can be read").expect("a database");
            String::from_utf8(address.password().expect("a password").to_vec()).expect("a text")
        };
        assert_eq!(password(&settings), "secret");
        settings.password_file = Some(path);
        assert_eq!(password(&settings), "of the file");
        settings.password = Some(StorePassword("of the settings".into()));
        assert_eq!(password(&settings), "of the settings");
        settings.password = None;
        settings.password_file = Some(dir.path().join("nowhere"));
        assert!(settings.address().is_err());
        assert!(StoreSettings::default().address().expect("SQLite").is_none());
    }
}
