//! One row of what a statement yields.

use crate::engine::postgres;
use crate::engine::sql::{CellValue, FromCell};
use crate::engine::sqlite::driver;
use crate::error::{Result, StoreError};

/// One row of what a statement yields. A reader of rows is a function of one, and runs no statement of its
/// own.
///
/// Cells that hold more than the database knows (JSON, words of enums, secrets) are read by `cells`.
pub(crate) enum Row<'a> {
    /// SQLite's.
    Embedded(&'a driver::RawRow<'a>),
    /// PostgreSQL's.
    Shared(&'a postgres::driver::RawRow),
}

impl Row<'_> {
    /// A cell, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Cell`] if it holds something else.
    #[inline]
    pub(crate) fn get<T: FromCell>(&self, column: usize) -> Result<T> {
        T::from_cell(self.cell(column)?).map_err(|reason| self.unreadable(column, reason))
    }

    /// A text that stays where it is.
    #[inline]
    pub(crate) fn text(&self, column: usize) -> Result<&str> {
        match self.cell(column)? {
            CellValue::Text(text) => Ok(text),
            other => Err(self.unreadable(column, other.is_not("a text"))),
        }
    }

    /// The same, or NULL.
    #[inline]
    pub(crate) fn maybe_text(&self, column: usize) -> Result<Option<&str>> {
        match self.cell(column)? {
            CellValue::Null => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    /// What it brings in texts and blobs, in bytes.
    pub(crate) fn weight(&self) -> Result<usize> {
        match self {
            Self::Embedded(row) => driver::weight(row),
            Self::Shared(row) => postgres::driver::weight(row),
        }
    }

    /// Whatever stands in a cell.
    #[inline]
    pub(crate) fn cell(&self, column: usize) -> Result<CellValue<'_>> {
        match self {
            Self::Embedded(row) => driver::cell(row, column),
            Self::Shared(row) => postgres::driver::cell(row, column),
        }
    }

    /// Says what is wrong with a cell.
    #[cold]
    pub(crate) fn unreadable(&self, column: usize, reason: impl std::fmt::Display) -> StoreError {
        let name = match self {
            Self::Embedded(row) => driver::column_name(row, column),
            Self::Shared(row) => postgres::driver::column_name(row, column),
        };
        StoreError::cell(name, reason)
    }
}
