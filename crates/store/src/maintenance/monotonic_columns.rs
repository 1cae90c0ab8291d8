//! Columns whose moments are of the monotonic clock, and what becomes of them where that clock is another.
//!
//! An embedded gateway has a clock of its own, which the wall may be ahead of after it was set. Nodes go by
//! the database's clock, which shows the time. So a moment that goes from one to the other moves by the
//! difference.

use serde_json::Value as Json;

use crate::engine::sql::{CellValue, Value};
use crate::error::{Result, StoreError};

/// How moments stand in a column.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// One moment.
    Moment,
    /// A JSON array of moments.
    List,
    /// A JSON object with one moment among its members.
    Member(&'static str),
}

/// **Invariant**: every column that is compared with `Tx::monotonic` is here.
const COLUMNS: [(&str, &str, Form); 10] = [
    ("commands", "expires_at_ms", Form::Moment),
    ("commands", "outcome_due_ms", Form::Moment),
    ("connectors", "as_of_ms", Form::Moment),
    ("deliveries", "before_replay", Form::Member("scheduled_at_ms")),
    ("deliveries", "due_at_ms", Form::Moment),
    ("deliveries", "first_tried_at_ms", Form::Moment),
    ("deliveries", "scheduled_at_ms", Form::Moment),
    ("stations", "recent_boots", Form::List),
    ("webhooks", "failing_since_ms", Form::Moment),
    ("webhooks", "resumed_at_ms", Form::Moment),
];

/// Whether a table has such columns.
pub(crate) fn are_in(table: &str) -> bool {
    COLUMNS.iter().any(|(of, ..)| *of == table)
}

/// A cell whose moments are later by so much; `None`: it has none.
pub(crate) fn moved(table: &str, column: &str, cell: &CellValue<'_>, by_ms: i64) -> Result<Option<Value>> {
    let Some((.., form)) = COLUMNS.iter().find(|(of, name, _)| *of == table && *name == column) else {
        return Ok(None);
    };
    let unreadable = || StoreError::cell(format!("{table}.{column}"), "no moments in it");
    let later = |moment: &mut Json| -> Result<()> {
        let ms = moment.as_i64().ok_or_else(unreadable)?;
        *moment = (ms + by_ms).into();
        Ok(())
    };
    match (form, cell) {
        (_, CellValue::Null) => Ok(None),
        (Form::Moment, CellValue::Int(ms)) => Ok(Some(Value::Int(ms + by_ms))),
        (Form::List, CellValue::Text(text)) => {
            let mut list: Vec<Json> = serde_json::from_str(text)?;
            list.iter_mut().try_for_each(later)?;
            Ok(Some(Value::Text(serde_json::to_string(&list)?)))
        }
        (Form::Member(name), CellValue::Text(text)) => {
            let mut object: Json = serde_json::from_str(text)?;
            later(object.get_mut(name).ok_or_else(unreadable)?)?;
            Ok(Some(Value::Text(object.to_string())))
        }
        _ => Err(unreadable()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::database_file::DatabaseFile;

    #[test]
    fn moments_of_every_form_are_moved_and_nothing_else_is() {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        for (table, column, cell, expected) in [
            ("deliveries", "due_at_ms", CellValue::Int(5), Some(Value::Int(12))),
            ("deliveries", "due_at_ms", CellValue::Null, None),
            ("deliveries", "created_at_ms", CellValue::Int(5), None),
            ("events", "due_at_ms", CellValue::Int(5), None),
            ("stations", "recent_boots", CellValue::Text("[1,2]"), text("[8,9]")),
            (
                "deliveries",
                "before_replay",
                CellValue::Text(r#"{"scheduled_at_ms":3}"#),
                text(r#"{"scheduled_at_ms":10}"#),
            ),
        ] {
            assert_eq!(moved(table, column, &cell, 7).expect("reads"), expected, "{table}.{column}");
        }
        assert!(moved("stations", "recent_boots", &CellValue::Text("{}"), 7).is_err());
    }

    #[test]
    fn every_column_of_them_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut database = DatabaseFile::open(&dir.path().join("new.db")).expect("opens");
        database.migrate().expect("migrates");
        let tables = database.tables().expect("reads");
        for (table, column, _) in COLUMNS {
            let found = tables.iter().find(|found| found.name == table).expect(table);
            assert!(found.columns.iter().any(|name| name == column), "{table}.{column}");
        }
    }
}
