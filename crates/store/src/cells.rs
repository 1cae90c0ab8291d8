//! Cells that hold more than the database knows: JSON, words of enums, settings, secrets.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::engine::row::Row;
use crate::error::{Result, StoreError, UnreadableSetting};
use crate::secrecy::vault::{Cell, Vault};

/// How headers are written that are none: there is nothing to seal.
pub(crate) const NO_HEADERS: &str = "{}";

impl Row<'_> {
    /// A text that is something's own spelling; ids and moments are read by [`Row::get`].
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, column: usize) -> Result<T> {
        self.text(column)?.parse().map_err(|error| self.unreadable(column, error))
    }

    /// The same, or NULL.
    pub(crate) fn maybe_parsed<T: FromStr<Err: Display>>(&self, column: usize) -> Result<Option<T>> {
        let text = self.maybe_text(column)?;
        text.map(str::parse).transpose().map_err(|error| self.unreadable(column, error))
    }

    /// JSON text; kept as it is, it is read by [`Row::get`] as a `Box<RawValue>`.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T> {
        serde_json::from_str(self.text(column)?).map_err(|error| self.unreadable(column, error))
    }

    /// The same, or NULL.
    pub(crate) fn maybe_json<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>> {
        let text = self.maybe_text(column)?;
        text.map(serde_json::from_str).transpose().map_err(|error| self.unreadable(column, error))
    }

    /// A word of an enum, spelled as its JSON is.
    pub(crate) fn word<T: DeserializeOwned>(&self, column: usize) -> Result<T> {
        let word: StrDeserializer<'_, WordError> = self.text(column)?.into_deserializer();
        T::deserialize(word).map_err(|error| self.unreadable(column, error))
    }

    /// The same, or NULL.
    pub(crate) fn maybe_word<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>> {
        self.maybe_text(column)?.map(|_| self.word(column)).transpose()
    }

    /// A text that is sealed, opened.
    pub(crate) fn sealed(
        &self,
        column: usize,
        vault: &Vault,
        (cell, id): (Cell, &dyn Display),
    ) -> Result<String> {
        vault.open(cell, id, self.text(column)?).map_err(|error| self.unreadable(column, error))
    }

    /// The same, or NULL.
    pub(crate) fn maybe_sealed(
        &self,
        column: usize,
        vault: &Vault,
        place: (Cell, &dyn Display),
    ) -> Result<Option<String>> {
        self.maybe_text(column)?.map(|_| self.sealed(column, vault, place)).transpose()
    }

    /// JSON that is sealed, opened and read, or NULL.
    pub(crate) fn maybe_sealed_json<T: DeserializeOwned>(
        &self,
        column: usize,
        vault: &Vault,
        place: (Cell, &dyn Display),
    ) -> Result<Option<T>> {
        let text = self.maybe_sealed(column, vault, place)?;
        text.map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| self.unreadable(column, error))
    }

    /// Headers that are sealed, opened; none are written `{}`, or are NULL.
    pub(crate) fn headers(
        &self,
        column: usize,
        vault: &Vault,
        place: (Cell, &dyn Display),
    ) -> Result<BTreeMap<String, String>> {
        match self.maybe_text(column)? {
            None | Some(NO_HEADERS) => Ok(BTreeMap::new()),
            Some(_) => {
                let text = self.sealed(column, vault, place)?;
                serde_json::from_str(&text).map_err(|error| self.unreadable(column, error))
            }
        }
    }
}

/// Says which setting it was that could not be read.
pub(crate) fn setting<T>(
    (table, id, column): (&'static str, &dyn Display, &'static str),
    read: Result<T>,
) -> Result<T> {
    read.map_err(|error| match error {
        StoreError::Cell(cell) => {
            StoreError::Setting(UnreadableSetting { table, id: id.to_string(), column, reason: cell.reason })
        }
        other => other,
    })
}
