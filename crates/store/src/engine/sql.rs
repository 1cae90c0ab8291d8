//! What goes into a statement and what comes out of it, whatever the driver.
//!
//! A statement is a text that every engine understands: `?1`, `?2` … or `?` for its values, `RETURNING`,
//! `ON CONFLICT`, `IS NOT DISTINCT FROM`, `CASE`. Three phrases stand for something that engines write
//! differently; each engine puts its own in their place, so write them exactly so:
//!
//! - ` INDEXED BY name` behind a table, and `+` right before a column (`+e.event`), are hints to SQLite's
//!   planner. Others leave them out.
//! - `IN (SELECT value FROM json_each(?1))`: one of a list of texts, which is bound as the text of a JSON
//!   array; of numbers, `IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{DeliveryRow, LogPosition};
use vocabulary::clock::Timestamp;
use vocabulary::id::{
    ApiKeyId, AuthorizationId, BulkCommandId, CommandId, DeliveryId, EventId, ReplayId, ReservationId,
    SerialNumber, StationId,
};

/// How far the wall clock is ahead of the monotonic one, as a term of a statement. Rows that wait are due by
/// the monotonic clock; where people see such a moment, this is added.
pub(crate) const WALL_OFFSET_MS: &str = "coalesce((SELECT value FROM meta WHERE key = 'wall_offset_ms'), 0)";

/// What a value is, or would be if it were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Int,
    /// Any other number.
    Real,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// Nobody has said.
    Unknown,
}

/// A value that a statement is run with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Param<'a> {
    /// Nothing, in the place of something of this kind.
    Null(Kind),
    /// A whole number, a moment (Unix milliseconds), or 0 or 1.
    Int(i64),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

impl Param<'_> {
    /// A copy that lasts.
    pub(crate) fn to_static(&self) -> Param<'static> {
        match self {
            Self::Null(kind) => Param::Null(*kind),
            Self::Int(number) => Param::Int(*number),
            Self::Real(number) => Param::Real(*number),
            Self::Text(text) => Param::Text(Cow::Owned(text.clone().into_owned())),
            Self::Bytes(bytes) => Param::Bytes(Cow::Owned(bytes.clone().into_owned())),
        }
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Null(kind) => *kind,
            Self::Int(_) => Kind::Int,
            Self::Real(_) => Kind::Real,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
        }
    }
}

/// What a statement can be run with.
pub(crate) trait ToParam {
    /// What its values are, also when there is none.
    const KIND: Kind;

    /// As the value of a statement.
    fn to_param(&self) -> Param<'_>;
}

/// The values of a statement, in the order of `?1`, `?2` …: `params![station, w.now, Some(5)]`. It
/// allocates nothing for texts and numbers.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::engine::sql::ToParam::to_param(&$value)),*] as &[$crate::engine::sql::Param<'_>]
    };
}
pub(crate) use params;

impl<T: ToParam + ?Sized> ToParam for &T {
    const KIND: Kind = T::KIND;

    #[inline]
    fn to_param(&self) -> Param<'_> {
        (**self).to_param()
    }
}

impl<T: ToParam> ToParam for Option<T> {
    const KIND: Kind = T::KIND;

    #[inline]
    fn to_param(&self) -> Param<'_> {
        self.as_ref().map_or(Param::Null(T::KIND), T::to_param)
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl ToParam for $number {
            const KIND: Kind = Kind::Int;

            #[inline]
            fn to_param(&self) -> Param<'_> {
                // What is beyond 63 bits is as good as the greatest number: no column holds more.
                Param::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }

        impl FromCell for $number {
            #[inline]
            fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
                let CellValue::Int(number) = cell else { return Err(cell.is_not("a whole number")) };
                Self::try_from(number).map_err(|error| format!("{number}: {error}"))
            }
        }
    )*};
}
whole_numbers!(i64, i32, u8, u16, u32, u64, usize);

/// Ids and the like, by their own spelling.
macro_rules! spelled {
    ($($id:ty),*) => {$(
        impl ToParam for $id {
            const KIND: Kind = Kind::Text;

            #[inline]
            fn to_param(&self) -> Param<'_> {
                Param::Text(Cow::Owned(self.to_string()))
            }
        }
    )*};
}
spelled!(EventId, DeliveryId, CommandId, BulkCommandId, AuthorizationId, ReplayId, ReservationId, ApiKeyId);

macro_rules! parsed {
    ($($id:ty),*) => {$(
        impl FromCell for $id {
            #[inline]
            fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
                let CellValue::Text(text) = cell else { return Err(cell.is_not("a text")) };
                text.parse().map_err(|error| format!("{error}"))
            }
        }
    )*};
}
parsed!(
    EventId,
    DeliveryId,
    CommandId,
    BulkCommandId,
    AuthorizationId,
    ReplayId,
    ReservationId,
    ApiKeyId,
    StationId,
    SerialNumber
);

macro_rules! to_param {
    ($($type:ty: $kind:ident, |$value:ident| $param:expr;)*) => {$(
        impl ToParam for $type {
            const KIND: Kind = Kind::$kind;

            #[inline]
            fn to_param(&self) -> Param<'_> {
                let $value = self;
                $param
            }
        }
    )*};
}
to_param! {
    bool: Int, |value| Param::Int(i64::from(*value));
    f64: Real, |value| Param::Real(*value);
    str: Text, |value| Param::Text(Cow::Borrowed(value));
    String: Text, |value| Param::Text(Cow::Borrowed(value));
    Cow<'_, str>: Text, |value| Param::Text(Cow::Borrowed(value));
    StationId: Text, |value| Param::Text(Cow::Borrowed(value.as_str()));
    SerialNumber: Text, |value| Param::Text(Cow::Borrowed(value.as_str()));
    RawValue: Text, |value| Param::Text(Cow::Borrowed(value.get()));
    Box<RawValue>: Text, |value| Param::Text(Cow::Borrowed(value.get()));
    [u8]: Bytes, |value| Param::Bytes(Cow::Borrowed(value));
    Vec<u8>: Bytes, |value| Param::Bytes(Cow::Borrowed(value));
    Timestamp: Int, |value| Param::Int(value.unix_ms());
    LogPosition: Int, |value| Param::Int(value.number());
    DeliveryRow: Int, |value| Param::Int(value.number());
    Value: Unknown, |value| value.as_param();
}

impl<const N: usize> ToParam for [u8; N] {
    const KIND: Kind = Kind::Bytes;

    #[inline]
    fn to_param(&self) -> Param<'_> {
        Param::Bytes(Cow::Borrowed(self))
    }
}

/// A value of its own, for conditions that are put together while the program runs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing.
    Null,
    /// A whole number, a moment, or 0 or 1.
    Int(i64),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// A copy of what a statement can be run with.
    pub(crate) fn of(value: &(impl ToParam + ?Sized)) -> Self {
        match value.to_param() {
            Param::Null(_) => Self::Null,
            Param::Int(number) => Self::Int(number),
            Param::Real(number) => Self::Real(number),
            Param::Text(text) => Self::Text(text.into_owned()),
            Param::Bytes(bytes) => Self::Bytes(bytes.into_owned()),
        }
    }

    fn as_param(&self) -> Param<'_> {
        match self {
            Self::Null => Param::Null(Kind::Unknown),
            Self::Int(number) => Param::Int(*number),
            Self::Real(number) => Param::Real(*number),
            Self::Text(text) => Param::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Param::Bytes(Cow::Borrowed(bytes)),
        }
    }
}

/// Values of their own, as a statement takes them: `read.all(&sql, &values_of(&values), …)`.
pub(crate) fn values_of(values: &[Value]) -> Vec<Param<'_>> {
    values.iter().map(Value::as_param).collect()
}

macro_rules! into_value {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::of(&value)
            }
        }
    )*};
}
into_value!(
    i64, i32, u16, u32, usize, bool, f64, &str, &String, &StationId, StationId, Timestamp, EventId,
    DeliveryId
);
into_value!(CommandId, BulkCommandId, ReplayId, ReservationId, ApiKeyId, LogPosition, DeliveryRow);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, T::into)
    }
}

/// What stands in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum CellValue<'a> {
    /// Nothing.
    Null,
    /// A whole number, a moment, or a truth as 0 or 1.
    Int(i64),
    /// Any other number.
    Real(f64),
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl CellValue<'_> {
    /// Says that it is not what was looked for.
    pub(crate) fn is_not(self, what: &str) -> String {
        let is = match self {
            Self::Null => "NULL",
            Self::Int(_) => "a whole number",
            Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        };
        format!("{is} in place of {what}")
    }
}

/// What can be read from a cell.
pub(crate) trait FromCell: Sized {
    /// Reads it, or says what is wrong.
    fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String>;
}

impl<T: FromCell> FromCell for Option<T> {
    #[inline]
    fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
        match cell {
            CellValue::Null => Ok(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

macro_rules! from_cell {
    ($($kind:ty: $what:literal, $($pattern:pat => $read:expr),+;)*) => {$(
        impl FromCell for $kind {
            #[inline]
            fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
                match cell {
                    $($pattern => Ok($read),)+
                    other => Err(other.is_not($what)),
                }
            }
        }
    )*};
}
from_cell! {
    bool: "true or false", CellValue::Int(number) => number != 0;
    f64: "a number", CellValue::Real(number) => number, CellValue::Int(number) => number as f64;
    String: "a text", CellValue::Text(text) => text.to_owned();
    Vec<u8>: "bytes", CellValue::Bytes(bytes) => bytes.to_owned();
    Timestamp: "a moment", CellValue::Int(ms) => Timestamp::from_unix_ms(ms);
    LogPosition: "a row's number", CellValue::Int(number) => LogPosition::from_number(number);
    DeliveryRow: "a row's number", CellValue::Int(number) => DeliveryRow::from_number(number);
}

impl FromCell for Box<RawValue> {
    #[inline]
    fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
        RawValue::from_string(String::from_cell(cell)?).map_err(|error| error.to_string())
    }
}

impl FromCell for Value {
    #[inline]
    fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
        Ok(match cell {
            CellValue::Null => Self::Null,
            CellValue::Int(number) => Self::Int(number),
            CellValue::Real(number) => Self::Real(number),
            CellValue::Text(text) => Self::Text(text.to_owned()),
            CellValue::Bytes(bytes) => Self::Bytes(bytes.to_owned()),
        })
    }
}

impl<const N: usize> FromCell for [u8; N] {
    #[inline]
    fn from_cell(cell: CellValue<'_>) -> std::result::Result<Self, String> {
        match cell {
            CellValue::Bytes(bytes) => {
                bytes.try_into().map_err(|_| format!("{} bytes in place of {N}", bytes.len()))
            }
            other => Err(other.is_not("bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bound_by_their_own_spelling() {
        let station = StationId::new("CP").expect("legal");
        let command = CommandId::from_value(1);
        let now = Timestamp::from_unix_ms(5);
        let text = |text: &str| Param::Text(Cow::Owned(text.to_owned()));
        let expected = [
            text("CP"),
            text(&command.to_string()),
            Param::Int(5),
            text("text"),
            Param::Null(Kind::Int),
            Param::Int(1),
            Param::Int(i64::MAX),
            Param::Bytes(Cow::Owned(vec![1, 2])),
        ];
        assert_eq!(
            params![station, &command, now, Some("text"), None::<i64>, true, u64::MAX, [1u8, 2]],
            expected
        );
    }

    #[test]
    fn a_cell_that_holds_something_else_says_so() {
        assert_eq!(bool::from_cell(CellValue::Int(2)), Ok(true));
        assert_eq!(f64::from_cell(CellValue::Int(2)), Ok(2.0));
        assert_eq!(Option::<String>::from_cell(CellValue::Null), Ok(None));
        assert_eq!(String::from_cell(CellValue::Null), Err("NULL in place of a text".to_owned()));
        assert!(u8::from_cell(CellValue::Int(256)).is_err());
        assert!(EventId::from_cell(CellValue::Text("dlv_")).is_err());
        assert!(<[u8; 2]>::from_cell(CellValue::Bytes(&[1])).is_err());
    }
}
