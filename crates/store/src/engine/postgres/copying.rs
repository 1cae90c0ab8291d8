//! Many rows at once into a table of PostgreSQL (`COPY`), in portions: none is larger in memory than
//! [`PORTION_BYTES`] and a row.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::CopyInSink;

use crate::engine::postgres::cells::escaped;
use crate::engine::postgres::driver::Connection;
use crate::engine::postgres::tables::{self, ColumnType};
use crate::engine::sql::CellValue;
use crate::engine::tables::Table;
use crate::error::{Result, StoreError};

/// What is sent at once.
const PORTION_BYTES: usize = 128 << 10;

/// Rows on their way into a table. They are there once it is finished, and with the transaction's commit.
pub(crate) struct CopyIn<'a> {
    conn: &'a Connection,
    sink: Pin<Box<CopyInSink<Bytes>>>,
    table: &'a Table,
    types: Vec<ColumnType>,
    portion: BytesMut,
}

impl<'a> CopyIn<'a> {
    /// Begins.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the table here has other columns.
    pub(crate) fn begin(conn: &'a Connection, table: &'a Table) -> Result<Self> {
        let known = tables::columns(conn, &table.name)?;
        let type_of = |column: &String| known.iter().find(|(name, _)| name == column).map(|(_, of)| *of);
        let types: Option<Vec<ColumnType>> = table.columns.iter().map(type_of).collect();
        let types = types.filter(|types| types.len() == known.len());
        let types =
            types.ok_or_else(|| StoreError::Corrupt(format!("{} has other columns there", table.name)))?;
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.columns.join(", "));
        let mut portion = BytesMut::with_capacity(PORTION_BYTES * 2);
        // The signature, no flags and no extension.
        portion.put_slice(b"PGCOPY\n\xff\r\n\0");
        portion.put_i32(0);
        portion.put_i32(0);
        Ok(Self { conn, sink: Box::pin(conn.copy_in(&sql)?), table, types, portion })
    }

    /// Begins the next row; its cells follow, one for each column of the table. True after a portion was
    /// sent.
    pub(crate) fn row(&mut self) -> Result<bool> {
        let is_full = self.portion.len() >= PORTION_BYTES;
        if is_full {
            self.send()?;
        }
        self.portion.put_i16(self.types.len() as i16);
        Ok(is_full)
    }

    /// The row's cell in that column.
    pub(crate) fn cell(&mut self, column: usize, value: CellValue<'_>) -> Result<()> {
        let portion = &mut self.portion;
        match (value, self.types[column]) {
            (CellValue::Null, _) => portion.put_i32(-1),
            (CellValue::Int(number), ColumnType::BigInt) => {
                portion.put_i32(8);
                portion.put_i64(number);
            }
            (CellValue::Int(number), ColumnType::Double) => {
                portion.put_i32(8);
                portion.put_f64(number as f64);
            }
            (CellValue::Real(number), ColumnType::Double) => {
                portion.put_i32(8);
                portion.put_f64(number);
            }
            (CellValue::Text(text), ColumnType::Text) => put(portion, escaped(text).as_bytes())?,
            (CellValue::Bytes(bytes), ColumnType::Bytes) => put(portion, bytes)?,
            (other, _) => {
                let column = format!("{}.{}", self.table.name, self.table.columns[column]);
                return Err(StoreError::cell(column, other.is_not("what the column there holds")));
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let portion = self.portion.split().freeze();
        Ok(self.conn.wait(self.sink.send(portion))?)
    }

    /// Sends the rest. Returns how many rows have come.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.portion.put_i16(-1);
        self.send()?;
        Ok(self.conn.wait(self.sink.as_mut().finish())?)
    }
}

fn put(portion: &mut BytesMut, bytes: &[u8]) -> Result<()> {
    let length = i32::try_from(bytes.len());
    portion.put_i32(length.map_err(|_| StoreError::Corrupt("a cell of more than 2 GiB".to_owned()))?);
    portion.put_slice(bytes);
    Ok(())
}
