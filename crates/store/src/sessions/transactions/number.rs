//! The numbers of transactions.

use crate::engine::counted::Counted;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};

/// The first number is random in this range, so that sessions of another backend do not collide.
const FIRST_NUMBER: std::ops::Range<u64> = 100_000_000..1_000_000_000;

/// The entry of `meta` that holds the last one.
const KEY: &str = "last_transaction_id";

/// The next transaction's number: positive, unique in the installation, never used again.
pub(crate) fn next_number(w: &Tx<'_>) -> Result<i64> {
    if let Some(last) = w.counted.and_then(Counted::transaction) {
        let next: i64 = last + 1;
        w.send("UPDATE meta SET value = ?2 WHERE key = ?1", params![KEY, next])?;
        return Ok(counted(w, next));
    }
    let next =
        w.maybe("UPDATE meta SET value = value + 1 WHERE key = ?1 RETURNING value", params![KEY], |row| {
            row.get(0)
        })?;
    if let Some(number) = next {
        return Ok(counted(w, number));
    }
    let mut chance = [0u8; 8];
    getrandom::fill(&mut chance).map_err(StoreError::NoRandomness)?;
    let first = FIRST_NUMBER.start + u64::from_le_bytes(chance) % (FIRST_NUMBER.end - FIRST_NUMBER.start);
    w.run("INSERT INTO meta (key, value) VALUES (?1, ?2)", params![KEY, first as i64])?;
    Ok(counted(w, first as i64))
}

fn counted(w: &Tx<'_>, number: i64) -> i64 {
    if let Some(counted) = w.counted {
        counted.set_transaction(number);
    }
    number
}
