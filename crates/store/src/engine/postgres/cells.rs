//! Values on their way into PostgreSQL and out of it.
//!
//! PostgreSQL's texts hold no NUL character, and chargers send it. So U+0001 is an escape there: `U+0001 0`
//! is NUL, `U+0001 1` is U+0001 itself. Texts that have neither, which is nearly all, are stored as they are.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::engine::postgres::dialect::ListOf;
use crate::engine::sql::{Kind, Param};
use crate::error::{Result, StoreError};

/// As a text is stored.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    match text.contains(['\0', '\u{1}']) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.replace('\u{1}', "\u{1}1").replace('\0', "\u{1}0")),
    }
}

/// As it was before it was stored, if that is another text.
pub(crate) fn unescaped(text: &str) -> Option<String> {
    text.contains('\u{1}').then(|| text.replace("\u{1}0", "\0").replace("\u{1}1", "\u{1}"))
}

/// A value as a statement takes it.
#[derive(Debug)]
pub(crate) enum Bound<'a> {
    One(&'a Param<'a>),
    Texts(Vec<String>),
    Numbers(Vec<i64>),
    TextColumn(Vec<Option<Cow<'a, str>>>),
    NumberColumn(Vec<Option<i64>>),
    RealColumn(Vec<Option<f64>>),
    BytesColumn(Vec<Option<&'a [u8]>>),
}

impl<'a> Bound<'a> {
    pub(crate) fn new(param: &'a Param<'_>, list: Option<ListOf>) -> Result<Self> {
        let Some(of) = list else { return Ok(Self::One(param)) };
        let Param::Text(json) = param else { return Ok(Self::One(param)) };
        Ok(match of {
            ListOf::Texts => {
                let texts: Vec<String> = serde_json::from_str(json)?;
                Self::Texts(texts.into_iter().map(|text| escaped(&text).into_owned()).collect())
            }
            ListOf::Numbers => Self::Numbers(serde_json::from_str(json)?),
        })
    }

    /// The values of one column of many rows, all of one kind.
    pub(crate) fn column(rows: &'a [Vec<Param<'static>>], column: usize) -> Self {
        let values = rows.iter().map(|row| &row[column]);
        match rows.first().map_or(Kind::Unknown, |row| row[column].kind()) {
            Kind::Int => Self::NumberColumn(
                values
                    .map(|value| if let Param::Int(number) = value { Some(*number) } else { None })
                    .collect(),
            ),
            Kind::Real => Self::RealColumn(
                values
                    .map(|value| if let Param::Real(number) = value { Some(*number) } else { None })
                    .collect(),
            ),
            Kind::Bytes => Self::BytesColumn(
                values
                    .map(|value| if let Param::Bytes(bytes) = value { Some(&**bytes) } else { None })
                    .collect(),
            ),
            Kind::Text | Kind::Unknown => Self::TextColumn(
                values
                    .map(|value| if let Param::Text(text) = value { Some(escaped(text)) } else { None })
                    .collect(),
            ),
        }
    }

    /// The type that it is declared with; what is unknown follows from where it stands.
    pub(crate) fn declared(&self) -> Type {
        match self {
            Self::Texts(_) => Type::TEXT_ARRAY,
            Self::Numbers(_) | Self::NumberColumn(_) => Type::INT8_ARRAY,
            Self::TextColumn(_) => Type::TEXT_ARRAY,
            Self::RealColumn(_) => Type::FLOAT8_ARRAY,
            Self::BytesColumn(_) => Type::BYTEA_ARRAY,
            Self::One(param) => match param.kind() {
                Kind::Int => Type::INT8,
                Kind::Real => Type::FLOAT8,
                Kind::Text => Type::TEXT,
                Kind::Bytes => Type::BYTEA,
                Kind::Unknown => Type::UNKNOWN,
            },
        }
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Texts(texts) => return texts.to_sql(ty, out),
            Self::Numbers(numbers) => return numbers.to_sql(ty, out),
            Self::TextColumn(texts) => return texts.to_sql(ty, out),
            Self::NumberColumn(numbers) => return numbers.to_sql(ty, out),
            Self::RealColumn(numbers) => return numbers.to_sql(ty, out),
            Self::BytesColumn(bytes) => return bytes.to_sql(ty, out),
            Self::One(Param::Null(_)) => return Ok(IsNull::Yes),
            Self::One(Param::Int(number)) => match *ty {
                Type::INT4 => return i32::try_from(*number)?.to_sql(ty, out),
                Type::BOOL => return (*number != 0).to_sql(ty, out),
                Type::FLOAT8 => return (*number as f64).to_sql(ty, out),
                _ => out.put_i64(*number),
            },
            Self::One(Param::Real(number)) => out.put_f64(*number),
            Self::One(Param::Text(text)) => out.put_slice(escaped(text).as_bytes()),
            Self::One(Param::Bytes(bytes)) => out.put_slice(bytes),
        }
        Ok(IsNull::No)
    }

    // Every value is declared with its type.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// What stands in a cell, as PostgreSQL sends it.
pub(crate) enum Sent<'a> {
    Int(i64),
    Real(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl<'a> FromSql<'a> for Sent<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(match *ty {
            Type::INT8 => Self::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(ty, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(ty, raw)?),
            Type::NUMERIC => numeric(raw).ok_or("a number past 64 bits")?,
            Type::BYTEA => Self::Bytes(raw),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN => Self::Text(std::str::from_utf8(raw)?),
            ref other => return Err(format!("a {other}, which nothing of ours is").into()),
        })
    }

    accepts!(INT8, INT4, INT2, BOOL, FLOAT8, NUMERIC, BYTEA, TEXT, VARCHAR, NAME, UNKNOWN);
}

/// Reads `numeric`, which sums of whole numbers are: base 10,000 digits behind their count, the weight of the
/// first one, the sign and the scale, 16 bits each.
fn numeric<'a>(raw: &[u8]) -> Option<Sent<'a>> {
    let word = |at: usize| Some(i16::from_be_bytes(raw.get(2 * at..2 * at + 2)?.try_into().ok()?));
    let (count, weight, sign) = (word(0)?, word(1)?, word(2)?);
    let (mut whole, mut real) = (0i64, 0f64);
    for nth in 0..count.max(weight + 1) {
        let digit = if nth < count { word(4 + nth as usize)? } else { 0 };
        real += f64::from(digit) * 10_000f64.powi((weight - nth).into());
        if nth <= weight {
            whole = whole.checked_mul(10_000)?.checked_add(digit.into())?;
        }
    }
    let is_whole = count <= weight + 1;
    let (whole, real) = if sign == 0x4000 { (-whole, -real) } else { (whole, real) };
    Some(if is_whole { Sent::Int(whole) } else { Sent::Real(real) })
}

/// Whether the server says that it, or this session, is about to end (shutdown, crash, start, trouble with
/// the connection), that it lacks something, such as room on its disk, that it takes no writes now (as a
/// standby does, perhaps the primary of a moment ago), or that it took too long, as when another node holds
/// the head and hangs: none of that is the statement's fault.
fn is_going_away(code: &str) -> bool {
    ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class))
        || ["25P03", "25006", "57014"].contains(&code)
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(theirs) if is_going_away(theirs.code().code()) => {
                Self::Away(format!("{} ({})", theirs.message(), theirs.code().code()))
            }
            Some(theirs) => Self::Failed(format!("{} ({})", theirs.message(), theirs.code().code())),
            None if error.is_closed() || error.code().is_none() => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                Self::Away(format!("{error}{cause}"))
            }
            None => Self::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_cannot_hold_comes_back_to_the_letter() {
        for text in ["plain", "", "a\0b", "\u{1}", "\u{1}0", "\0\u{1}1\0", "ü\u{1}\0"] {
            let stored = escaped(text);
            assert!(!stored.contains('\0'));
            assert_eq!(unescaped(&stored).as_deref().unwrap_or(&stored), text);
        }
    }

    #[test]
    fn sums_are_whole_numbers() {
        let number = |words: &[i16]| {
            let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            match numeric(&raw) {
                Some(Sent::Int(whole)) => whole as f64,
                Some(Sent::Real(real)) => real,
                _ => f64::NAN,
            }
        };
        assert_eq!(number(&[0, 0, 0, 0]), 0.0);
        assert_eq!(number(&[2, 1, 0, 0, 12, 3_456]), 123_456.0);
        assert_eq!(number(&[1, 1, 0x4000, 0, 5]), -50_000.0);
        assert_eq!(number(&[2, 0, 0, 1, 2, 5_000]), 2.5);
    }
}
