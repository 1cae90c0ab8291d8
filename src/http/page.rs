//! Pages of lists: limits, order, and cursors that are good for one list and one order only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Result;
use crate::api::problem::Problem;
use crate::api::{LIMIT_DEFAULT, Order, Page};
use crate::store::{Listed, Slice};

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Which end of the list comes first.
    #[param(inline)]
    pub(super) order: Option<Order>,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

impl Paging {
    /// Where in this list the page begins.
    ///
    /// # Errors
    /// As [`slice()`].
    pub(super) fn slice(&self, list: &str) -> Result<Slice> {
        slice(list, self.cursor.as_deref(), self.order, self.limit)
    }
}

/// Where in which list a page begins.
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
    let after = cursor.map(|cursor| {
        position(list, order, cursor).ok_or_else(|| {
            Problem::invalid_field(
                "cursor",
                "is not a next_cursor of this list in this order: leave it out to begin anew",
            )
        })
    });
    Ok(Slice {
        ascending: order == Order::Asc,
        after: after.transpose()?,
        limit: limit.unwrap_or(LIMIT_DEFAULT),
    })
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

fn position(list: &str, order: Order, cursor: &str) -> Option<(i64, i64)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let position = text.strip_prefix(&sorted(list, order == Order::Asc))?.strip_prefix(' ')?;
    let (first, second) = position.split_once(' ')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_order() {
        let first = slice("events", None, None, Some(2)).expect("no cursor");
        let shown = page("events", &first, Listed { rows: vec![9, 8], next: Some((8, 0)) }, |row| row);
        let cursor = shown.next_cursor.expect("more rows");
        assert_eq!(slice("events", Some(&cursor), None, None).expect("its own").after, Some((8, 0)));
        for (list, order) in [("stations", None), ("events", Some(Order::Asc))] {
            let refused = slice(list, Some(&cursor), order, None).expect_err("another list");
            assert_eq!((refused.status, refused.errors[0].field.as_str()), (422, "cursor"));
        }
        assert!(slice("events", Some("!"), None, None).is_err());
    }
}
