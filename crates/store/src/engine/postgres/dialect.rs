//! Our statements in the words of PostgreSQL.
//!
//! Statements are written once, for SQLite (see [`sql`](crate::engine::sql)); what stands in them that
//! PostgreSQL calls otherwise is put in its place here, and nowhere else.

/// A statement as PostgreSQL takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Translated {
    pub(crate) text: String,
    /// Values that are lists, by their number from 0: bound as arrays.
    pub(crate) lists: Vec<(usize, ListOf)>,
}

/// What a list that is bound to a statement is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListOf {
    Texts,
    Numbers,
}

/// How a list is asked for in our statements, before the value's number.
const IN_LISTS: [(&str, &str, ListOf); 4] = [
    ("NOT IN (SELECT value FROM json_each(", "<> ALL(", ListOf::Texts),
    ("IN (SELECT value FROM json_each(", "= ANY(", ListOf::Texts),
    ("NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(", "<> ALL(", ListOf::Numbers),
    ("IN (SELECT CAST(value AS BIGINT) FROM json_each(", "= ANY(", ListOf::Numbers),
];

/// A column whose texts may be too long for an index of PostgreSQL (2.7 kB): the index is over their hashes.
const HASHED: &str = "samples";

/// A hint to SQLite's planner, with a blank before and the name of an index behind.
const INDEXED_BY: &str = " INDEXED BY ";

/// Translates a statement.
pub(crate) fn translate(sql: &str) -> Translated {
    let mut text = String::with_capacity(sql.len());
    let mut lists = Vec::new();
    let mut nth = 0;
    let mut rest = sql;
    'next: while let Some(first) = rest.chars().next() {
        match first {
            '\'' => {
                let behind = 1 + rest[1..].find('\'').map_or(rest.len() - 1, |quote| quote + 1);
                text.push_str(&rest[..behind]);
                rest = &rest[behind..];
                continue;
            }
            '?' => {
                let (number, behind) = parameter(rest, &mut nth);
                text.push('$');
                text.push_str(&number.to_string());
                rest = behind;
                continue;
            }
            '+' if is_hint(&text, rest) => {
                rest = &rest[1..];
                continue;
            }
            ' ' if rest.starts_with(INDEXED_BY) => {
                let name = &rest[INDEXED_BY.len()..];
                rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                continue;
            }
            's' if !text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => {
                let behind = rest.strip_prefix(HASHED).and_then(|rest| rest.strip_prefix(" = "));
                if let Some(behind) = behind.filter(|behind| behind.starts_with('?')) {
                    let (number, behind) = parameter(behind, &mut nth);
                    text.push_str(&format!(
                        "(hashtextextended({HASHED}, 0) = hashtextextended(${number}, 0) AND {HASHED} = ${number})"
                    ));
                    rest = behind;
                    continue;
                }
            }
            'N' | 'I' => {
                for (ours, theirs, of) in IN_LISTS {
                    let Some(behind) = rest.strip_prefix(ours) else { continue };
                    let (number, behind) = parameter(behind, &mut nth);
                    lists.push((number - 1, of));
                    text.push_str(&format!("{theirs}${number}"));
                    // Our phrase has one bracket more.
                    rest = behind.strip_prefix(')').unwrap_or(behind);
                    continue 'next;
                }
            }
            _ => {}
        }
        text.push(first);
        rest = &rest[first.len_utf8()..];
    }
    Translated { text, lists }
}

/// The number of the value that stands at the beginning of `text` (`?` or `?7`), and what is behind it.
fn parameter<'a>(text: &'a str, nth: &mut usize) -> (usize, &'a str) {
    let behind = text.strip_prefix('?').unwrap_or(text);
    let digits = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number = behind[..digits].parse().unwrap_or(*nth + 1);
    *nth = number.max(*nth);
    (number, &behind[digits..])
}

/// Whether a plus is the hint before a column's name: nothing that could be added to stands before it.
fn is_hint(before: &str, rest: &str) -> bool {
    let names = rest[1..].starts_with(|c: char| c.is_ascii_lowercase());
    names && (before.ends_with('(') || keyword_before(before))
}

fn keyword_before(before: &str) -> bool {
    let word = before.trim_end().rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
    matches!(word, "WHERE" | "AND" | "OR" | "NOT" | "ON" | "BY")
}

/// A step of the schema. `is_new`: in a database without rows, where what fills columns from others has
/// nothing to do.
pub(crate) fn schema_step(step: &str, is_new: bool) -> String {
    let without_comments: Vec<&str> =
        step.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
    let mut made = String::new();
    for statement in without_comments.join("\n").split(';').map(str::trim).filter(|text| !text.is_empty()) {
        let word = statement.split_ascii_whitespace().next().unwrap_or("");
        let text = match word {
            // A view is a statement of its own dialect: each engine has its own.
            "CREATE" if statement.starts_with("CREATE VIEW") => continue,
            "CREATE" | "ALTER" | "DROP" => definition(statement),
            _ if is_new => continue,
            _ => translate(statement).text,
        };
        made.push_str(&text);
        made.push_str(";\n");
    }
    made
}

/// One definition of a table or an index.
fn definition(statement: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("(transaction_id, samples)", "(transaction_id, hashtextextended(samples, 0))"),
        // The words of a charger may be too long for an index.
        ("(station_seq, connector_id, status, error_code)", "(station_seq, connector_id)"),
        // An expression of an index stands in brackets.
        ("(sent_at_ms << 21) | (seq & 2097151)", "((sent_at_ms << 21) | (seq & 2097151))"),
        (") STRICT, WITHOUT ROWID", ")"),
        (") STRICT", ")"),
        ("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
        (" INTEGER", " BIGINT"),
        // Texts are compared by their bytes, as SQLite compares them.
        (" TEXT", " TEXT COLLATE \"C\""),
        (" BLOB", " BYTEA"),
        (" REAL", " DOUBLE PRECISION"),
    ];
    let lines = statement.lines().map(|line| match line.trim_start().starts_with("seq ") {
        // SQLite numbers these too; it only may give the newest number again.
        true if !line.contains("AUTOINCREMENT") => line.replace(" PRIMARY KEY", " PRIMARY KEY AUTOINCREMENT"),
        _ => line.to_owned(),
    });
    let statement = lines.collect::<Vec<_>>().join("\n");
    WORDS.iter().fold(statement, |text, (ours, theirs)| text.replace(ours, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_and_hints_left_out() {
        for (ours, theirs) in [
            ("SELECT ?, '?', ?", "SELECT $1, '?', $2"),
            ("a = ?2 AND b = ?1 OR c = ?2", "a = $2 AND b = $1 OR c = $2"),
            (
                "FROM events e INDEXED BY events_by_type WHERE +e.event = ?1",
                "FROM events e WHERE e.event = $1",
            ),
            ("WHERE x = 1 AND (+e.a = ? OR +b = ?)", "WHERE x = 1 AND (e.a = $1 OR b = $2)"),
            ("SET last = last + 1, done = done + ?1", "SET last = last + 1, done = done + $1"),
            ("SET a = b + excluded.b", "SET a = b + excluded.b"),
            ("LIKE 'webhook:%' -- ", "LIKE 'webhook:%' -- "),
            (
                "a = ?1 AND samples = ?2 AND samples IS NULL",
                "a = $1 AND (hashtextextended(samples, 0) = hashtextextended($2, 0) AND samples = $2) AND samples IS NULL",
            ),
            ("SELECT samples, of_samples = ?", "SELECT samples, of_samples = $1"),
        ] {
            assert_eq!(translate(ours), Translated { text: theirs.into(), lists: Vec::new() });
        }
    }

    #[test]
    fn lists_are_bound_as_arrays() {
        let ours = "site IN (SELECT value FROM json_each(?2)) AND
                    seq NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) AND x = ?";
        let theirs = "site = ANY($2) AND
                    seq <> ALL($3) AND x = $4";
        let lists = vec![(1, ListOf::Texts), (2, ListOf::Numbers)];
        assert_eq!(translate(ours), Translated { text: theirs.into(), lists });
    }
}
