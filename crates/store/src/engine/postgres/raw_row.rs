//! Rows as PostgreSQL sends them.

use tokio_postgres::types::Type;

use crate::engine::postgres::cells::{Sent, unescaped};
use crate::engine::sql::{CellValue, FromCell};
use crate::error::{Result, StoreError};

/// A row as the driver has it.
pub(crate) struct RawRow {
    row: tokio_postgres::Row,
    /// Columns that stand before the statement's own.
    skipped: usize,
    /// Cells whose text was stored in another form.
    unescaped: Vec<(usize, String)>,
}

/// What stands in a cell, as what is wanted.
pub(crate) fn get<T: FromCell>(row: &RawRow, column: usize) -> Result<T> {
    T::from_cell(cell(row, column)?).map_err(|reason| StoreError::cell(column_name(row, column), reason))
}

pub(crate) fn cell(row: &RawRow, column: usize) -> Result<CellValue<'_>> {
    if let Some((_, text)) = row.unescaped.iter().find(|(of, _)| *of == column + row.skipped) {
        return Ok(CellValue::Text(text));
    }
    let sent: Option<Sent<'_>> = row
        .row
        .try_get(column + row.skipped)
        .map_err(|error| StoreError::cell(column_name(row, column), error))?;
    Ok(match sent {
        None => CellValue::Null,
        Some(Sent::Int(number)) => CellValue::Int(number),
        Some(Sent::Real(number)) => CellValue::Real(number),
        Some(Sent::Text(text)) => CellValue::Text(text),
        Some(Sent::Bytes(bytes)) => CellValue::Bytes(bytes),
    })
}

pub(crate) fn column_name(row: &RawRow, column: usize) -> String {
    row.row.columns().get(column + row.skipped).map_or("?", |column| column.name()).to_owned()
}

/// The bytes of all texts and blobs of a row.
pub(crate) fn weight(row: &RawRow) -> Result<usize> {
    (0..row.row.len() - row.skipped).try_fold(0, |bytes, column| {
        Ok(bytes
            + match cell(row, column)? {
                CellValue::Text(text) => text.len(),
                CellValue::Bytes(blob) => blob.len(),
                _ => 0,
            })
    })
}

impl RawRow {
    /// A row; `skipped`: columns that stand before the statement's own.
    pub(crate) fn new(row: tokio_postgres::Row, skipped: usize) -> Result<Self> {
        let mut unescaped_cells = Vec::new();
        for column in 0..row.len() {
            if row.columns()[column].type_() == &Type::TEXT
                && let Some(text) = row.try_get::<_, Option<&str>>(column)?
                && let Some(text) = unescaped(text)
            {
                unescaped_cells.push((column, text));
            }
        }
        Ok(Self { row, skipped, unescaped: unescaped_cells })
    }
}
