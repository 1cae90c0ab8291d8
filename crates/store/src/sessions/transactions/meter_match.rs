//! Which transaction meter values belong to.

use crate::engine::job::Foreseen;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use vocabulary::id::StationId;
use vocabulary::ocpp::fact::{MeterReadings, MeterValue};

/// A transaction that meter values belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MeteredTransaction {
    pub(crate) transaction_id: i64,
    /// It is over: the values are late.
    pub(crate) completed: bool,
    /// Another start has followed on its connector.
    pub(crate) orphaned: bool,
    /// The values are of the station's main meter (connector 0): its register is not the session's.
    pub(crate) main_meter: bool,
}

impl MeteredTransaction {
    /// One that is under way, and metered where it charges.
    pub(crate) fn open(transaction_id: i64) -> Self {
        Self { transaction_id, completed: false, orphaned: false, main_meter: false }
    }
}

/// The transaction of a charger's meter values.
pub(crate) struct MeterMatch {
    pub(crate) transaction: Option<MeteredTransaction>,
    /// They name a number that this station has no transaction of.
    pub(crate) names_an_unknown: bool,
}

const BY_NUMBER: &str = "SELECT status = 'completed', orphaned FROM transactions
             WHERE transaction_id = ?1 AND station_id = ?2";

/// What [`metered_transaction`] reads for values that name this number.
pub(crate) fn foreseen_of_meter(station: &StationId, number: i64) -> Foreseen {
    Foreseen::new(BY_NUMBER, params![number, station])
}

/// The transaction that meter values belong to: the one they name if it is this station's, else the only one
/// that is open on their connector.
///
/// Without a name, values that were taken by the clock belong to nobody, and neither do those of the main
/// meter (reference 3.3).
pub(crate) fn metered_transaction(
    db: &Read<'_>,
    station: &StationId,
    values: &MeterReadings,
) -> Result<MeterMatch> {
    let main_meter = values.connector_id == Some(0);
    let known = match values.transaction_id {
        Some(number) => db.maybe(BY_NUMBER, params![number, station], |row| {
            let (completed, orphaned) = (row.get(0)?, row.get(1)?);
            Ok(MeteredTransaction { transaction_id: number, completed, orphaned, main_meter })
        })?,
        None if main_meter || values.meter_value.iter().all(is_taken_by_the_clock) => {
            return Ok(MeterMatch { transaction: None, names_an_unknown: false });
        }
        None => None,
    };
    if known.is_some() {
        return Ok(MeterMatch { transaction: known, names_an_unknown: false });
    }
    let open: Vec<i64> = db.all(
        "SELECT transaction_id FROM transactions
         WHERE station_id = ?1 AND status = 'active' AND orphaned = 0
           AND (?2 IS NULL OR connector_id = ?2) LIMIT 2",
        params![station, values.connector_id],
        |row| row.get(0),
    )?;
    let transaction = match open[..] {
        [only] => Some(MeteredTransaction { main_meter, ..MeteredTransaction::open(only) }),
        _ => None,
    };
    Ok(MeterMatch { transaction, names_an_unknown: values.transaction_id.is_some() })
}

/// Whether these values were taken at the full hour, say, and not because of a session.
pub(crate) fn is_taken_by_the_clock(value: &MeterValue) -> bool {
    let samples = &value.sampled_value;
    !samples.is_empty() && samples.iter().all(|sample| sample.context == "Sample.Clock")
}
