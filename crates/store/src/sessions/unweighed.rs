//! Transactions that a version left which did not keep what their energy comes to: it is weighed once, before
//! anybody looks.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::{meter_values, transactions};

/// Transactions that are weighed in one commit.
const STEP: usize = 2_000;

/// Weighs some of them; returns whether there may be more.
pub(crate) fn weigh_some(w: &Tx<'_>) -> Result<bool> {
    let unweighed: Vec<(i64, bool)> = w.all(
        "SELECT transaction_id, status = 'active' FROM transactions
         WHERE energy_quality IS NULL ORDER BY transaction_id LIMIT ?1",
        params![STEP],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (transaction_id, is_active) in &unweighed {
        let newest = if *is_active { meter_values::newest(w, *transaction_id)? } else { Vec::new() };
        transactions::weigh_first(w, *transaction_id, &newest, w.now)?;
    }
    Ok(unweighed.len() == STEP)
}
