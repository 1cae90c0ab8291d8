//! Statements on their way to the database whose outcome nobody looks at: they go along with the next one
//! that somebody waits for, and of one form together.
//!
//! **Invariant**: they have the effect that they would have one after the other. A row joins those before it
//! of the same statement only across statements about other tables. It looks at nothing but its own row; so
//! nothing is sent that a foreign key ties to a row of another table that is sent in the same job.

use std::sync::Arc;

use crate::engine::postgres::bulk::Form;
use crate::engine::sql::{Kind, Param};

/// Rows that go in one statement at most.
const ROWS_MAX: usize = 1_000;

/// Statements that wait for the next one.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    parts: Vec<Part>,
    /// The part of each statement, in their order.
    order: Vec<usize>,
}

/// What goes in one message.
#[derive(Debug)]
pub(crate) enum Part {
    /// A text without values.
    Text(String),
    /// A statement with rows of values.
    Rows(Rows),
}

/// Rows of values of one statement.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) sql: Box<str>,
    pub(crate) form: Form,
    tables: Arc<[Box<str>]>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) rows: Vec<Vec<Param<'static>>>,
}

impl Rows {
    fn takes(&self, row: &[Param<'_>]) -> bool {
        match self.form {
            Form::Alone => false,
            Form::Insert | Form::Update { replaces: true, .. } | Form::Add { .. } => {
                self.rows.len() < ROWS_MAX
            }
            // What the first one sets may be what the second one starts from.
            Form::Update { keys, replaces: false } => {
                self.rows.len() < ROWS_MAX && self.rows.iter().all(|known| known[..keys] != row[..keys])
            }
        }
    }

    /// Of several rows with one key the last one, where only that counts, or their sum.
    pub(crate) fn fold(&mut self) {
        let (keys, adds) = match self.form {
            Form::Update { keys, replaces: true } => (keys, false),
            Form::Add { keys } => (keys, true),
            _ => return,
        };
        let mut kept: Vec<Vec<Param<'static>>> = Vec::with_capacity(self.rows.len());
        for row in self.rows.drain(..) {
            match kept.iter_mut().find(|known| known[..keys] == row[..keys]) {
                Some(known) if adds => known[keys..].iter_mut().zip(&row[keys..]).for_each(add_to),
                Some(known) => *known = row,
                None => kept.push(row),
            }
        }
        self.rows = kept;
    }
}

/// Adds a number to another.
fn add_to((sum, number): (&mut Param<'static>, &Param<'static>)) {
    if let (Param::Int(sum), Param::Int(number)) = (sum, number) {
        *sum += number;
    }
}

impl Sending {
    /// A text without values.
    pub(crate) fn text(&mut self, text: &str) {
        self.order.push(self.parts.len());
        self.parts.push(Part::Text(text.to_owned()));
    }

    /// A statement about `tables`.
    pub(crate) fn statement(
        &mut self,
        sql: &str,
        (form, tables): (Form, &Arc<[Box<str>]>),
        row: Vec<Param<'static>>,
    ) {
        let kinds = row.iter().map(Param::kind).collect::<Vec<_>>();
        let joins = match form {
            Form::Alone => None,
            _ => self.part_to_join(sql, tables, &kinds, &row),
        };
        let at = joins.unwrap_or(self.parts.len());
        self.order.push(at);
        match self.parts.get_mut(at) {
            Some(Part::Rows(rows)) => rows.rows.push(row),
            _ => self.parts.push(Part::Rows(Rows {
                sql: sql.into(),
                form,
                tables: tables.clone(),
                kinds,
                rows: vec![row],
            })),
        }
    }

    fn part_to_join(
        &self,
        sql: &str,
        tables: &[Box<str>],
        kinds: &[Kind],
        row: &[Param<'_>],
    ) -> Option<usize> {
        for (at, part) in self.parts.iter().enumerate().rev() {
            match part {
                Part::Rows(rows) if *rows.sql == *sql && rows.kinds == kinds && rows.takes(row) => {
                    return Some(at);
                }
                Part::Rows(rows) if rows.tables.iter().all(|of| !tables.contains(of)) => {}
                _ => return None,
            }
        }
        None
    }

    /// How many wait, for [`Sending::forget_since`].
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Forgets those that came since.
    pub(crate) fn forget_since(&mut self, len: usize) {
        while self.order.len() > len {
            let Some(at) = self.order.pop() else { return };
            match &mut self.parts[at] {
                Part::Rows(rows) if rows.rows.len() > 1 => drop(rows.rows.pop()),
                // The first row of a part is its last one to go, and behind it nothing is left.
                _ => self.parts.truncate(at),
            }
        }
    }

    /// Takes all that wait, in the order in which they go.
    pub(crate) fn take(&mut self) -> Vec<Part> {
        self.order.clear();
        std::mem::take(&mut self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: (&str, Form, &str) = ("insert", Form::Insert, "log");
    const SET: (&str, Form, &str) = ("set", Form::Update { keys: 1, replaces: true }, "counts");
    const ADD: (&str, Form, &str) = ("add", Form::Update { keys: 1, replaces: false }, "sums");
    const ALONE: (&str, Form, &str) = ("delete", Form::Alone, "other log");

    fn add(sending: &mut Sending, (sql, form, tables): (&str, Form, &str), key: i64) {
        let tables: Arc<[Box<str>]> = tables.split(' ').map(Box::from).collect();
        sending.statement(sql, (form, &tables), vec![Param::Int(key)]);
    }

    fn sending(statements: &[((&str, Form, &str), i64)]) -> Sending {
        let mut sending = Sending::default();
        for (statement, key) in statements {
            add(&mut sending, *statement, *key);
        }
        sending
    }

    fn shown(mut sending: Sending) -> String {
        let part = |part| match part {
            Part::Text(text) => text,
            Part::Rows(mut rows) => {
                rows.fold();
                let keys: Vec<String> = rows
                    .rows
                    .iter()
                    .map(|row| match row[..] {
                        [Param::Int(key)] => key.to_string(),
                        _ => "?".to_owned(),
                    })
                    .collect();
                format!("{} {}", rows.sql, keys.join(" "))
            }
        };
        sending.take().into_iter().map(part).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_is_alike_goes_together_and_nothing_passes_what_it_may_depend_on() {
        for (statements, expected) in [
            (&[(INSERT, 1), (SET, 1), (INSERT, 2), (SET, 1), (SET, 2)][..], "insert 1 2; set 1 2"),
            (&[(ADD, 1), (ADD, 2), (ADD, 1), (ADD, 2)], "add 1 2; add 1 2"),
            (&[(INSERT, 1), (ALONE, 1), (INSERT, 2)], "insert 1; delete 1; insert 2"),
            (&[(SET, 1), (ALONE, 1), (ALONE, 2), (SET, 2)], "set 1 2; delete 1; delete 2"),
            (&[(INSERT, 1), (("other", Form::Insert, "log"), 1), (INSERT, 2)], "insert 1; other 1; insert 2"),
        ] {
            assert_eq!(shown(sending(statements)), expected);
        }
    }

    #[test]
    fn what_came_since_is_forgotten_and_what_came_before_stays() {
        let mut sending = sending(&[(INSERT, 1), (SET, 1)]);
        let before = sending.len();
        add(&mut sending, INSERT, 2);
        sending.text("text");
        add(&mut sending, ADD, 1);
        add(&mut sending, ADD, 2);
        sending.forget_since(before);
        add(&mut sending, INSERT, 3);
        assert_eq!(shown(sending), "insert 1 3; set 1");
    }
}
