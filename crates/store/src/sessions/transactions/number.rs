//! The numbers of transactions.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};

/// The first number is random in this range, so that sessions of another backend do not collide.
const FIRST_NUMBER: std::ops::Range<u64> = 100_000_000..1_000_000_000;

/// The next transaction's number: positive, unique in the installation, never used again.
pub(crate) fn next_number(w: &Tx<'_>) -> Result<i64> {
    let next = w.maybe(
        "UPDATE meta SET value = value + 1 WHERE key = 'last_transaction_id' RETURNING value",
        &[],
        |row| row.get(0),
    )?;
    if let Some(number) = next {
        return Ok(number);
    }
    let mut chance = [0u8; 8];
    getrandom::fill(&mut chance).map_err(StoreError::NoRandomness)?;
    let first = FIRST_NUMBER.start + u64::from_le_bytes(chance) % (FIRST_NUMBER.end - FIRST_NUMBER.start);
    w.run("INSERT INTO meta (key, value) VALUES ('last_transaction_id', ?1)", params![first as i64])?;
    Ok(first as i64)
}
