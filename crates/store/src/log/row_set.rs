//! Which rows of the log are looked at.

use std::fmt::Display;

use crate::LogPosition;
use crate::engine::sql::Value;
use crate::listing::Conditions;

/// Which rows of the log are looked at.
#[derive(Debug)]
pub(crate) enum RowSet {
    All,
    /// Above the first, up to the second.
    Between(LogPosition, LogPosition),
    Of(Vec<LogPosition>),
}

impl RowSet {
    /// Adds that `column` is in it.
    pub(crate) fn narrow(&self, conditions: &mut Conditions, column: &str) {
        match self {
            Self::All => {}
            Self::Between(low, high) => conditions
                .and(format!("{column} > ? AND {column} <= ?"), [Value::from(*low), Value::from(*high)]),
            Self::Of(rows) => conditions.and(in_list(column), [Value::from(as_list(rows))]),
        }
    }
}

/// That `column` is in a list that [`as_list`] makes.
pub(crate) fn in_list(column: &str) -> String {
    format!("{column} IN (SELECT CAST(value AS BIGINT) FROM json_each(?))")
}

/// Numbers as one value.
pub(crate) fn as_list<N: Display>(numbers: &[N]) -> String {
    let numbers: Vec<String> = numbers.iter().map(N::to_string).collect();
    format!("[{}]", numbers.join(","))
}
