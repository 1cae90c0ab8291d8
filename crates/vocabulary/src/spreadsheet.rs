//! Texts in files that spreadsheets open.

use std::borrow::Cow;

/// What spreadsheets take for the beginning of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The text as it is written into a cell: one that would be run as a formula is prefixed with `'`, since
/// chargers and integrators choose many of them.
pub fn harmless(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.starts_with(FORMULA) {
        true => format!("'{text}").into(),
        false => text,
    }
}
