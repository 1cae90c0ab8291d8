//! Pages of lists: limits, order, and cursors. A cursor is valid for one list and one order only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::problem::{ErrorAnswer, Result};
use super::query::Parameters;
use store::{Listed, Slice};
use vocabulary::api::problem::FieldError;
use vocabulary::api::{LIMIT_DEFAULT, Order, Page};

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Which end of the list comes first.
    #[param(inline)]
    pub(super) order: Option<Order>,
    /// How many rows at most. A page of large rows, of some megabytes together, has fewer, and a
    /// `next_cursor`.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    pub(super) cursor: Option<String>,
}

/// The handler knows which list a cursor must be of, and checks it with [`wrong_cursor`].
impl Parameters for Paging {}

impl Paging {
    /// The same, the oldest first by default.
    pub(super) fn ascending(&self) -> Self {
        Self { order: self.order.or(Some(Order::Asc)), limit: self.limit, cursor: self.cursor.clone() }
    }

    /// Where in this list the page begins.
    ///
    /// # Errors
    /// As [`slice()`].
    pub(super) fn slice(&self, list: &str) -> Result<Slice> {
        slice(list, self.cursor.as_deref(), self.order, self.limit)
    }
}

/// Where a page begins in a list.
///
/// # Errors
/// A 422 if the cursor is not one of this list and order.
pub(super) fn slice(
    list: &str,
    cursor: Option<&str>,
    order: Option<Order>,
    limit: Option<u32>,
) -> Result<Slice> {
    let order = order.unwrap_or_default();
    let after = cursor
        .map(|cursor| position(list, order, cursor).ok_or_else(|| ErrorAnswer::invalid(vec![foreign()])));
    Ok(Slice {
        ascending: order == Order::Asc,
        after: after.transpose()?,
        limit: limit.unwrap_or(LIMIT_DEFAULT),
    })
}

/// Adds an error if the cursor in `given` is none of this list in this order, which is `order` if none is
/// given. A `list` that ends in a blank is the prefix of many names, such as one per transaction.
pub(super) fn wrong_cursor(list: &str, order: Order, given: &Value, errors: &mut Vec<FieldError>) {
    let Some(cursor) = given["cursor"].as_str() else { return };
    let orders = match &given["order"] {
        Value::Null => vec![order],
        // An unknown order is an error of its own.
        named => Order::deserialize(named).map_or(vec![Order::Asc, Order::Desc], |order| vec![order]),
    };
    let text = decoded(cursor).unwrap_or_default();
    let rest = text.strip_prefix(list);
    let is_ours = |order: &Order| {
        let place = format!("{} ", sorted("", *order == Order::Asc));
        rest.is_some_and(
            |rest| if list.ends_with(' ') { rest.contains(&place) } else { rest.starts_with(&place) },
        )
    };
    if !orders.iter().any(is_ours) {
        errors.push(foreign());
    }
}

fn foreign() -> FieldError {
    FieldError::new("cursor", "is not a next_cursor of this list in this order: leave it out to begin anew")
}

/// Which part of a short list, which is complete by default.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShortPaging {
    /// Which end of the list comes first; its beginning by default.
    #[param(inline)]
    order: Option<Order>,
    /// How many rows at most; without it, and without a cursor, all of them.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

/// The name of all short lists in cursors. Each cursor names a row, which other lists do not have.
const SHORT: &str = "short";

impl Parameters for ShortPaging {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        wrong_cursor(SHORT, Order::Asc, given, errors);
    }
}

impl ShortPaging {
    /// The requested page of `rows`, which are complete and in order. `key` identifies a row.
    ///
    /// # Errors
    /// A 422 if the cursor is not one of this list.
    pub(super) fn cut<T>(self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Result<Page<T>> {
        let ascending = self.order.unwrap_or(Order::Asc) == Order::Asc;
        if !ascending {
            rows.reverse();
        }
        let place = format!("{} ", sorted(SHORT, ascending));
        let limit = match (self.limit, &self.cursor) {
            (None, None) => rows.len(),
            (limit, _) => limit.unwrap_or(LIMIT_DEFAULT) as usize,
        };
        if let Some(cursor) = self.cursor {
            let last = decoded(&cursor).and_then(|text| Some(text.strip_prefix(&place)?.to_owned()));
            let seen = last.and_then(|last| rows.iter().position(|row| key(row) == last));
            let seen = seen.ok_or_else(|| ErrorAnswer::invalid(vec![foreign()]))?;
            rows.drain(..=seen);
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|last| URL_SAFE_NO_PAD.encode(format!("{place}{}", key(last))));
        Ok(Page { data: rows, next_cursor })
    }
}

/// A page as it is answered.
pub(super) fn page<T, U>(list: &str, slice: &Slice, listed: Listed<T>, show: impl FnMut(T) -> U) -> Page<U> {
    Page {
        next_cursor: listed.next.map(|(first, second)| {
            URL_SAFE_NO_PAD.encode(format!("{} {first} {second}", sorted(list, slice.ascending)))
        }),
        data: listed.rows.into_iter().map(show).collect(),
    }
}

fn sorted(list: &str, ascending: bool) -> String {
    format!("{list} {}", if ascending { "asc" } else { "desc" })
}

fn decoded(cursor: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

fn position(list: &str, order: Order, cursor: &str) -> Option<(i64, i64)> {
    let text = decoded(cursor)?;
    let position = text.strip_prefix(&sorted(list, order == Order::Asc))?.strip_prefix(' ')?;
    let (first, second) = position.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_order() {
        let first = slice("events", None, None, Some(2)).expect("no cursor");
        let shown = page("events", &first, Listed { rows: vec![9, 8], next: Some((8, 0)) }, |row| row);
        let cursor = shown.next_cursor.expect("more rows");
        assert_eq!(slice("events", Some(&cursor), None, None).expect("its own").after, Some((8, 0)));
        for (list, order) in [("stations", None), ("events", Some(Order::Asc))] {
            let refused = slice(list, Some(&cursor), order, None).expect_err("another list");
            assert_eq!(
                (refused.problem().status, refused.problem().errors[0].field.as_str()),
                (422, "cursor")
            );
        }
        assert!(slice("events", Some("!"), None, None).is_err());
        let named = |list: &str, given: Value| {
            let mut errors = Vec::new();
            wrong_cursor(list, Order::Desc, &given, &mut errors);
            errors.len()
        };
        for (list, given, wrong) in [
            ("events", json!({}), 0),
            ("events", json!({"cursor": cursor}), 0),
            ("events", json!({"cursor": cursor, "order": "desc"}), 0),
            ("events", json!({"cursor": cursor, "order": "asc"}), 1),
            ("events", json!({"cursor": cursor, "order": "sideways"}), 0),
            ("event", json!({"cursor": cursor}), 1),
            ("stations", json!({"cursor": cursor}), 1),
            ("eve", json!({"cursor": cursor}), 1),
            ("events", json!({"cursor": "!"}), 1),
        ] {
            assert_eq!(named(list, given.clone()), wrong, "{list} {given}");
        }
    }

    #[test]
    fn a_short_list_comes_whole_or_in_pages() {
        let rows = || ["a", "b c", "d"].map(str::to_owned).to_vec();
        let cut = |order, limit, cursor: Option<String>| {
            ShortPaging { order, limit, cursor }
                .cut(rows(), String::clone)
                .map(|page| (page.data, page.next_cursor))
        };
        assert_eq!(cut(None, None, None).expect("whole"), (rows(), None));
        for (order, expected) in [(Order::Asc, ["a", "b c", "d"]), (Order::Desc, ["d", "b c", "a"])] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let (page, next) = cut(Some(order), Some(1), cursor).expect("a page");
                seen.extend(page);
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected);
        }
        let (_, next) = cut(None, Some(1), None).expect("a page");
        assert_eq!(cut(None, None, next.clone()).expect("the rest").0, ["b c", "d"]);
        assert!(cut(Some(Order::Desc), None, next).is_err(), "of the other order");
        assert!(cut(None, None, Some("!".to_owned())).is_err());
    }
}
