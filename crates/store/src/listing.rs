//! Lists: conditions that are given, in an order that an index has, one page at a time.

use std::ops::ControlFlow;

use crate::engine::row::Row;
use crate::engine::sql::{Value, params, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::event;
use vocabulary::id::least_at;
use vocabulary::subscription::{EventPattern, glob_fits};

/// Texts and blobs that a page has room for, in bytes; the row that goes beyond is its last. What one charger
/// says may take a megabyte, and who reads hundreds of that at once should not cost the gateway its memory.
pub(crate) const PAGE_BYTES: usize = 4 << 20;

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The oldest first.
    pub ascending: bool,
    /// Behind this position, as [`Listed::next`] gave it.
    pub after: Option<(i64, i64)>,
    /// At most so many rows; fewer if they are large.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The position of the last one, if there are more behind it; or where the page ended because enough was
    /// read, though less than it has room for was found.
    pub next: Option<(i64, i64)>,
}

/// What a column is like that has `text` in it.
pub(crate) fn containing(text: &str) -> Value {
    let escaped = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    Value::Text(format!("%{escaped}%"))
}

/// The conditions of a list, each with its values.
#[derive(Default)]
pub(crate) struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Those of a list whose `select` takes values of its own.
    pub(crate) fn behind(values: Vec<Value>) -> Self {
        Self { texts: Vec::new(), values }
    }

    /// Adds a condition; each `?` in it takes one of `values`.
    pub(crate) fn and(&mut self, condition: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.texts.push(condition.into());
        self.values.extend(values);
    }

    /// Adds that one of these columns has `text` in it, if it is given; letter case does not matter.
    pub(crate) fn and_text(&mut self, columns: &[&str], text: Option<&str>) {
        let Some(text) = text else { return };
        let is_like = |column: &&str| format!(r"lower({column}) LIKE lower(?) ESCAPE '\'");
        let any: Vec<String> = columns.iter().map(is_like).collect();
        self.and(format!("({})", any.join(" OR ")), columns.iter().map(|_| containing(text)));
    }

    /// Adds a condition on one value, if the value is given.
    pub(crate) fn and_if<T: Into<Value>>(&mut self, condition: &str, value: Option<T>) {
        if let Some(value) = value {
            self.and(condition, [value.into()]);
        }
    }

    /// All of them, as they stand behind `WHERE`.
    pub(crate) fn text(&self) -> String {
        match self.texts.is_empty() {
            true => "TRUE".to_owned(),
            false => self.texts.join(" AND "),
        }
    }

    /// The values that the `?` take.
    pub(crate) fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// Adds a condition on a moment, if it is given.
    pub(crate) fn and_at(&mut self, condition: &str, at: Option<Timestamp>) {
        self.and_if(condition, at);
    }

    /// Adds that rows of `table` (`alias`) arrived, by their `column`, at or after `since` and before
    /// `until`.
    ///
    /// Ids are minted in commit order with their moment in front, so the unique index on them finds the rows
    /// that bound it; the exact moment is another condition, on few rows.
    pub(crate) fn and_arrived(
        &mut self,
        (table, alias, column): (&str, &str, &str),
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        spell: impl Fn(u128) -> String,
    ) {
        let (first, behind) = least_ids(since, until);
        for (comparison, id) in [(">=", first), ("<", behind)] {
            let condition = format!("{alias}.seq {comparison} {}", first_row(table));
            self.and_if(&condition, id.map(&spell));
        }
        self.and_at(&format!("{alias}.{column} >= ?"), since);
        self.and_at(&format!("{alias}.{column} < ?"), until);
    }

    /// Adds that the event type of `alias` fits one of `patterns`, of which none, or `*`, is every event.
    /// `may_lead`: the list may be read along the index of types.
    pub(crate) fn and_fits(&mut self, alias: &str, patterns: &[EventPattern], may_lead: bool) {
        if patterns.is_empty() || patterns.contains(&EventPattern::All) {
            return;
        }
        // A `+` keeps SQLite from the index of types: what it collects of several types it would have to
        // sort.
        let plus = if may_lead && matches!(patterns, [EventPattern::Exact(_)]) { "" } else { "+" };
        let mut alternatives = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            match pattern {
                EventPattern::Category(category) => {
                    alternatives.push(format!("{plus}{alias}.category = ?"));
                    self.values.push(category.as_str().into());
                }
                EventPattern::Glob(glob) => {
                    alternatives.push(format!("{plus}{alias}.event IN (SELECT value FROM json_each(?))"));
                    self.values.push(types_that_fit(glob).into());
                    if let Some(like) = custom_names_that_fit(glob) {
                        alternatives.push(format!(
                            "(+{alias}.category = 'custom' AND +{alias}.event LIKE ? ESCAPE '\\')"
                        ));
                        self.values.push(like.into());
                    }
                }
                exact => {
                    alternatives.push(format!("{plus}{alias}.event = ?"));
                    self.values.push(exact.to_string().into());
                }
            }
        }
        self.texts.push(format!("({})", alternatives.join(" OR ")));
    }
}

/// How much later than its arrival a row's id may have been minted: the wait for a commit, and a clock that
/// was set back (ids never go back). Rows of this span are read in vain at worst.
const ID_LAG_MS: i64 = 600_000;

/// The bounds of [`Conditions::and_arrived`] as numbers: rows of `table` above the first and up to the
/// second.
pub(crate) fn arrival_rows(
    read: &Read<'_>,
    table: &str,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    spell: impl Fn(u128) -> String,
) -> Result<(i64, i64)> {
    let sql = format!("SELECT {}", first_row(table));
    let before = |id: Option<u128>| -> Result<Option<i64>> {
        let Some(id) = id else { return Ok(None) };
        let first: i64 = read.one(&sql, params![spell(id)], |row| row.get(0))?;
        Ok(Some(first.saturating_sub(1)))
    };
    let (since, until) = least_ids(since, until);
    Ok((before(since)?.unwrap_or(0), before(until)?.unwrap_or(i64::MAX)))
}

/// The first row of `table` whose id is not smaller; behind all rows if there is none.
fn first_row(table: &str) -> String {
    format!("coalesce((SELECT seq FROM {table} WHERE id >= ? ORDER BY id LIMIT 1), {})", i64::MAX)
}

/// The least id of what arrived then or later, and of what is sure to have arrived after that.
fn least_ids(since: Option<Timestamp>, until: Option<Timestamp>) -> (Option<u128>, Option<u128>) {
    let behind = |until: Timestamp| Timestamp::from_unix_ms(until.unix_ms().saturating_add(ID_LAG_MS));
    (since.map(least_at), until.map(|until| least_at(behind(until))))
}

/// The event types of ours that fit a text with `*`, as the text of a JSON array.
fn types_that_fit(glob: &str) -> String {
    let fitting = event::types().filter(|(_, name)| glob_fits(glob.as_bytes(), name.as_bytes()));
    let fitting: Vec<String> = fitting.map(|(_, name)| format!("\"{name}\"")).collect();
    format!("[{}]", fitting.join(","))
}

/// What custom names must be like to fit a text with `*`; `None` if none can. They have no capitals, so that
/// it does not matter to which letters `LIKE` pays no regard.
fn custom_names_that_fit(glob: &str) -> Option<String> {
    if glob.chars().any(|c| c.is_ascii_uppercase()) {
        return None;
    }
    let mut like = String::with_capacity(glob.len() + 8);
    for c in glob.chars() {
        match c {
            '*' => like.push('%'),
            '%' | '_' | '\\' => like.extend(['\\', c]),
            c => like.push(c),
        }
    }
    Some(like)
}

/// Whether a row belongs to a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fits {
    Yes,
    No,
    /// So much was read that the page ends before this row, whether it fits or not.
    Enough,
}

impl From<bool> for Fits {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// Reads the rows of `select` (without `WHERE`) that fulfil `conditions`, in the order of `keys`: one or
/// two columns of whole numbers that `select` yields first, in this order. Ends early at [`PAGE_BYTES`].
pub(crate) fn page<T>(
    db: &Read<'_>,
    select: &str,
    keys: &[&str],
    conditions: Conditions,
    slice: &Slice,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Listed<T>> {
    page_of(db, select, keys, conditions, slice, None::<fn(&Row<'_>) -> Result<bool>>, read)
}

/// The same of the rows that `fits` says yes to, where that is given: it is asked while the rows are read.
pub(crate) fn page_of<T, F: Into<Fits>>(
    db: &Read<'_>,
    select: &str,
    keys: &[&str],
    mut conditions: Conditions,
    slice: &Slice,
    fits: Option<impl Fn(&Row<'_>) -> Result<F>>,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Listed<T>> {
    let (beyond, direction) = if slice.ascending { (">", "ASC") } else { ("<", "DESC") };
    if let Some((first, second)) = slice.after {
        match keys {
            [key] => conditions.and(format!("{key} {beyond} ?"), [first.into()]),
            _ => conditions
                .and(format!("({}) {beyond} (?, ?)", keys.join(", ")), [first.into(), second.into()]),
        }
    }
    let order: Vec<String> = keys.iter().map(|key| format!("{key} {direction}")).collect();
    let limit = match &fits {
        // One row more than asked for tells whether there is a next page.
        None => format!(" LIMIT {}", u64::from(slice.limit) + 1),
        Some(_) => String::new(),
    };
    let sql = format!("{select} WHERE {} ORDER BY {}{limit}", conditions.text(), order.join(", "));
    let mut rows = Vec::new();
    let mut next = None;
    let (mut last, mut seen, mut bytes) = ((0, 0), None, 0);
    let position = |row: &Row<'_>| -> Result<(i64, i64)> {
        Ok((row.get(0)?, if keys.len() > 1 { row.get(1)? } else { 0 }))
    };
    db.each(&sql, &values_of(&conditions.values), |row| {
        if let Some(fits) = &fits {
            match fits(row)?.into() {
                Fits::Yes => {}
                Fits::No => {
                    seen = Some(position(row)?);
                    return Ok(ControlFlow::Continue(()));
                }
                Fits::Enough => {
                    next = seen;
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        if rows.len() == slice.limit as usize || bytes >= PAGE_BYTES {
            next = Some(last);
            return Ok(ControlFlow::Break(()));
        }
        bytes += row.weight()?;
        last = position(row)?;
        seen = Some(last);
        rows.push(read(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Listed { rows, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn patterns_find_the_events_that_they_fit_and_no_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        store
            .seed_run(
                "INSERT INTO events (id, event, category, timestamp_ms, payload)
                 VALUES ('evt_1', 'StartTransaction', 'ocpp', 1, '{}'), ('evt_2', 'StopTransaction', 'ocpp', 1, '{}'),
                        ('evt_3', 'ping', 'custom', 1, '{}'), ('evt_4', 'a.b', 'custom', 1, '{}'),
                        ('evt_5', 'a.b_c', 'custom', 1, '{}'), ('evt_6', 'a.bxc', 'custom', 1, '{}'),
                        ('evt_7', 'start.x', 'custom', 1, '{}')",
            )
            .await;
        for (patterns, expected) in [
            (&["Start*"][..], "StartTransaction"),
            (&["start*"], "start.x"),
            (&["St*n"], "StartTransaction StopTransaction"),
            (&["a*"], "a.b a.b_c a.bxc"),
            (&["a.b_*"], "a.b_c"),
            (&["*.b", "p*g"], "ping a.b"),
            (&["*i*"], "StartTransaction StopTransaction ping"),
            (&["A.*b"], ""),
            (&["%*"], ""),
            (&["custom.*", "StopTransaction"], "StopTransaction ping a.b a.b_c a.bxc start.x"),
        ] {
            let patterns: Vec<EventPattern> =
                patterns.iter().map(|text| text.parse().expect("a pattern")).collect();
            let mut conditions = Conditions::default();
            conditions.and_fits("e", &patterns, true);
            let found = store.read(move |db| {
                let sql = format!("SELECT e.event FROM events e WHERE {} ORDER BY e.seq", conditions.text());
                db.all(&sql, &values_of(&conditions.into_values()), |row| row.get::<String>(0))
            });
            assert_eq!(found.await.expect("reads").join(" "), expected);
        }
    }
}
