//! Rows of JSON as lines of a CSV (RFC 4180, with `\n` at the end of a line).
//!
//! Payloads are copied as they came.

use std::borrow::Cow;
use std::collections::BTreeMap;

use csv::Writer;
use serde_json::Number;
use serde_json::value::RawValue;

use super::super::csv_columns::{CellKind, Column};
use vocabulary::spreadsheet::harmless;

/// Why a row cannot be written: it is not what the OpenAPI document says.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    /// It is no JSON of this shape.
    #[error("a row is not as the OpenAPI document says: {0}")]
    Shape(#[from] serde_json::Error),
    /// The library's own.
    #[error("a line cannot be written: {0}")]
    Line(#[from] csv::Error),
}

/// Writes `row` as a line.
///
/// # Errors
/// [`Unwritable`]: a part of the line may be written then.
pub(super) fn write_row(
    lines: &mut Writer<Vec<u8>>,
    columns: &[&Column],
    row: &RawValue,
) -> Result<(), Unwritable> {
    write_object(lines, &mut columns.iter().copied(), row)?;
    lines.write_record(None::<&[u8]>)?;
    Ok(())
}

fn write_object(
    lines: &mut Writer<Vec<u8>>,
    columns: &mut dyn Iterator<Item = &Column>,
    object: &RawValue,
) -> Result<(), Unwritable> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(object.get())?;
    for column in columns {
        match column {
            Column::Cell { name, kind } => {
                let value = members.get(name.as_str()).map_or("null", |value| value.get());
                lines.write_field(cell(*kind, value)?.as_bytes())?;
            }
            Column::Object { name, columns } => {
                match members.get(name.as_str()).filter(|value| value.get() != "null") {
                    Some(object) => write_object(lines, &mut columns.iter(), object)?,
                    None => {
                        for _ in 0..column.width() {
                            lines.write_field("")?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// The text of a cell; null is an empty one.
fn cell(kind: CellKind, json: &str) -> serde_json::Result<Cow<'_, str>> {
    if json == "null" {
        return Ok("".into());
    }
    if kind == CellKind::Json || !json.starts_with('"') {
        return Ok(json.into());
    }
    let text: String = serde_json::from_str(json)?;
    let is_number = kind == CellKind::Decimal && serde_json::from_str::<Number>(&text).is_ok();
    Ok(if is_number { text.into() } else { harmless(text.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_no_formulas_and_numbers_stay_numbers() {
        for (kind, json, written) in [
            (CellKind::Plain, r#""CP_1""#, "CP_1"),
            (CellKind::Plain, r#""=1+1""#, "'=1+1"),
            (CellKind::Plain, r#""+49 30""#, "'+49 30"),
            (CellKind::Plain, r#""-5""#, "'-5"),
            (CellKind::Plain, r#""@x""#, "'@x"),
            (CellKind::Plain, r#""\tx""#, "'\tx"),
            (CellKind::Plain, r#""\rx""#, "'\rx"),
            (CellKind::Plain, r#""\u003dx""#, "'=x"),
            (CellKind::Plain, r#""'=x""#, "'=x"),
            (CellKind::Plain, r#"" =x""#, " =x"),
            (CellKind::Plain, "-5", "-5"),
            (CellKind::Plain, "-5.10", "-5.10"),
            (CellKind::Plain, "true", "true"),
            (CellKind::Plain, "null", ""),
            (CellKind::Plain, r#""""#, ""),
            (CellKind::Decimal, r#""-5.10""#, "-5.10"),
            (CellKind::Decimal, r#""-5.1e2""#, "-5.1e2"),
            (CellKind::Decimal, r#""-5+cmd""#, "'-5+cmd"),
            (CellKind::Decimal, r#""+5""#, "'+5"),
            (CellKind::Json, r#"{"b": 1.50, "a":"=x"}"#, r#"{"b": 1.50, "a":"=x"}"#),
            (CellKind::Json, r#""=x""#, r#""=x""#),
            (CellKind::Json, "null", ""),
        ] {
            assert_eq!(cell(kind, json).expect("JSON"), written, "{json}");
        }
    }

    #[test]
    fn a_row_has_every_column_whatever_is_missing() {
        let plain = |name: &str| Column::Cell { name: name.to_owned(), kind: CellKind::Plain };
        let json = |name: &str| Column::Cell { name: name.to_owned(), kind: CellKind::Json };
        let by = Column::Object { name: "by".to_owned(), columns: vec![plain("id"), plain("name")] };
        let columns = [plain("id"), by, json("payload"), plain("n")];
        for (row, line) in [
            (
                r#"{"id": 1, "by": {"name": "a,b", "id": 7}, "payload": {"x": "\""}, "n": null}"#,
                "1,7,\"a,b\",\"{\"\"x\"\": \"\"\\\"\"\"\"}\",\n",
            ),
            (r#"{"n": "x\ny", "other": 1, "by": null}"#, ",,,,\"x\ny\"\n"),
            ("{}", ",,,,\n"),
        ] {
            let mut lines = Writer::from_writer(Vec::new());
            let row: Box<RawValue> = serde_json::from_str(row).expect("JSON");
            write_row(&mut lines, &columns.iter().collect::<Vec<_>>(), &row).expect("writes");
            assert_eq!(String::from_utf8(lines.into_inner().expect("flushed")).expect("UTF-8"), line);
        }
        let broken: Box<RawValue> = serde_json::from_str(r#"{"by": 7}"#).expect("JSON");
        assert!(
            write_row(&mut Writer::from_writer(Vec::new()), &columns.iter().collect::<Vec<_>>(), &broken)
                .is_err()
        );
    }
}
