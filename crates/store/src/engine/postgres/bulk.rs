//! Statements for many rows of values at once, made of ours for one row.
//!
//! `INSERT INTO t (a, b) VALUES (?1, ?2)` and `UPDATE t SET a = ?2 WHERE b = ?1` become one statement over
//! `unnest`ed arrays; so does a `SELECT`, which yields for each row of values what it would yield by itself,
//! behind the row's number. What has another form stays a statement of its own.

/// What a statement does to its table, as far as several of it can go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Inserts a row of values.
    Insert,
    /// Changes the row whose key is the first `keys` values. `replaces`: whatever it sets is a value, so that
    /// of several with one key the last one counts.
    Update { keys: usize, replaces: bool },
    /// Adds to the row whose key is the first `keys` values, or inserts it; so what several with one key add
    /// can be added up before.
    Add { keys: usize },
    /// Anything else: it goes alone, behind what came before it and before what comes behind.
    Alone,
}

/// The form of a translated statement.
pub(crate) fn form(text: &str) -> Form {
    if let Some(keys) = keys_of_sum(text) {
        return Form::Add { keys };
    }
    let has = |word: &str| text.contains(word);
    if has("SELECT") || has("RETURNING") || has("ON CONFLICT") || has("ANY(") || has("ALL(") {
        return Form::Alone;
    }
    if text.starts_with("INSERT INTO ") && has("VALUES (") && text.trim_end().ends_with(')') {
        return Form::Insert;
    }
    let Some((sets, key)) = parts_of_update(text) else { return Form::Alone };
    let mut keys = 0;
    for part in key.split(" AND ") {
        keys += 1;
        let is_key = part
            .trim()
            .split_once(" = $")
            .is_some_and(|(column, value)| is_column(column) && value.parse() == Ok(keys));
        if !is_key {
            return Form::Alone;
        }
    }
    let is_value = |set: &str| {
        set.split_once('=').is_some_and(|(column, value)| {
            let value = value.trim().strip_prefix('$');
            is_column(column.trim()) && value.is_some_and(|number| number.parse::<u32>().is_ok())
        })
    };
    Form::Update { keys, replaces: sets.split(',').all(is_value) }
}

/// How many columns are the key of `INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE
/// SET b = t.b + excluded.b`, if it is such a statement.
fn keys_of_sum(text: &str) -> Option<usize> {
    let words = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    let (table, rest) = words.strip_prefix("INSERT INTO ")?.split_once(" (")?;
    let (columns, rest) = rest.split_once(") VALUES (")?;
    let (values, rest) = rest.split_once(") ON CONFLICT (")?;
    let (keys, sets) = rest.split_once(") DO UPDATE SET ")?;
    let columns: Vec<&str> = columns.split(", ").collect();
    let keys = keys.split(", ").count();
    let is_plain = values.split(", ").enumerate().all(|(nth, value)| value == format!("${}", nth + 1));
    let adds: Vec<String> = columns
        .iter()
        .skip(keys)
        .map(|column| format!("{column} = {table}.{column} + excluded.{column}"))
        .collect();
    let has_keys_first = rest.starts_with(&columns[..keys.min(columns.len())].join(", "));
    (is_plain && has_keys_first && sets == adds.join(", ")).then_some(keys)
}

/// What an update sets, and its condition.
fn parts_of_update(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("UPDATE ")?;
    let (_, text) = text.split_once("SET ")?;
    let (sets, key) = text.split_once("WHERE ")?;
    Some((sets, key.trim()))
}

fn is_column(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The tables that a statement changes or looks at; perhaps more words than these.
pub(crate) fn tables(text: &str) -> Vec<Box<str>> {
    let mut words =
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let mut tables = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word, "INTO" | "UPDATE" | "FROM" | "JOIN") {
            tables.extend(words.next().map(Box::from));
        }
    }
    tables
}

/// The statement for arrays of so many values.
pub(crate) fn many(text: &str, values: usize) -> String {
    let rows = format!(" FROM {}", rows_of(values));
    let text = of_row(text);
    if text.starts_with("INSERT") {
        let (head, tail) = text.split_once("VALUES (").unwrap_or((&text, ""));
        let (values, on_conflict) = match tail.find("ON CONFLICT") {
            Some(at) => tail.split_at(at),
            None => (tail, ""),
        };
        let values = values.trim_end();
        let values = values.strip_suffix(')').unwrap_or(values);
        return format!("{head}SELECT {values}{rows} {on_conflict}").trim_end().to_owned();
    }
    let (head, key) = text.rsplit_once("WHERE ").unwrap_or((&text, ""));
    format!("{head}{rows} WHERE {key}")
}

/// The `SELECT` for arrays of so many values: the rows of all, each behind the number (from 1) of its values.
pub(crate) fn each(text: &str, values: usize) -> String {
    let names: Vec<String> = (1..=values).map(|nth| format!("p{nth}")).collect();
    let arrays: Vec<String> = (1..=values).map(|nth| format!("${nth}")).collect();
    format!(
        "SELECT v.nth, found.* FROM unnest({}) WITH ORDINALITY AS v({}, nth) CROSS JOIN LATERAL ({}) AS found",
        arrays.join(", "),
        names.join(", "),
        of_row(text)
    )
}

fn rows_of(values: usize) -> String {
    let names: Vec<String> = (1..=values).map(|nth| format!("p{nth}")).collect();
    let arrays: Vec<String> = (1..=values).map(|nth| format!("${nth}")).collect();
    format!("unnest({}) AS v({})", arrays.join(", "), names.join(", "))
}

/// With the values of a row `v` in the place of the statement's own; what is quoted stays.
fn of_row(text: &str) -> String {
    let mut made = String::with_capacity(text.len() + 32);
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '\'';
        match c {
            '$' if !quoted => made.push_str("v.p"),
            c => made.push(c),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_inserted_or_changed_alike_go_together() {
        let insert = "INSERT INTO t (a, b, c) VALUES ($1, coalesce($2, $1), 'a $1')";
        assert_eq!((form(insert), &*tables(insert)), (Form::Insert, &["t".into()][..]));
        assert_eq!(
            many(insert, 2),
            "INSERT INTO t (a, b, c) SELECT v.p1, coalesce(v.p2, v.p1), 'a $1' FROM unnest($1, $2) AS v(p1, p2)"
        );
        let update = "UPDATE t SET a = $2, b = $3\n WHERE key = $1";
        assert_eq!(
            (form(update), &*tables(update)),
            (Form::Update { keys: 1, replaces: true }, &["t".into()][..])
        );
        assert_eq!(
            many(update, 3),
            "UPDATE t SET a = v.p2, b = v.p3\n  FROM unnest($1, $2, $3) AS v(p1, p2, p3) WHERE key = v.p1"
        );
        let adds = "UPDATE t SET a = a + $2 WHERE key = $1";
        assert_eq!(form(adds), Form::Update { keys: 1, replaces: false });
        let of_two = "UPDATE t SET a = $3 WHERE b = $1 AND c = $2";
        assert_eq!(form(of_two), Form::Update { keys: 2, replaces: true });
    }

    #[test]
    fn sums_are_added_up() {
        let sum = "INSERT INTO t (a, b, n) VALUES ($1, $2, $3)
                   ON CONFLICT (a, b) DO UPDATE SET n = t.n + excluded.n";
        assert_eq!(form(sum), Form::Add { keys: 2 });
        assert_eq!(
            many(sum, 3).split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            "INSERT INTO t (a, b, n) SELECT v.p1, v.p2, v.p3 FROM unnest($1, $2, $3) AS v(p1, p2, p3) \
             ON CONFLICT (a, b) DO UPDATE SET n = t.n + excluded.n"
        );
        assert_eq!(form(&sum.replace("t.n +", "2 * t.n +")), Form::Alone);
        assert_eq!(form(&sum.replace("(a, b) DO", "(b, a) DO")), Form::Alone);
    }

    #[test]
    fn what_looks_elsewhere_or_answers_goes_alone() {
        for text in [
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO NOTHING",
            "INSERT INTO t (a) VALUES ($1) RETURNING a",
            "INSERT INTO t (a) SELECT $1",
            "UPDATE t SET a = $2 WHERE b = $1 AND c = 1",
            "UPDATE t SET a = $2 WHERE b = $1 OR c = $1",
            "UPDATE t SET a = $1 WHERE b = $2",
            "DELETE FROM t WHERE a = $1",
        ] {
            assert_eq!(form(text), Form::Alone, "{text}");
        }
        let both = "INSERT INTO t (a) SELECT s.a FROM s WHERE s.b = $1 ON CONFLICT (a) DO UPDATE SET a = $1";
        assert_eq!(*tables(both), ["t".into(), "s".into(), "SET".into()]);
    }

    #[test]
    fn one_select_reads_for_many() {
        assert_eq!(
            each("SELECT a FROM t WHERE b = $1 AND c = $2 LIMIT 1", 2),
            "SELECT v.nth, found.* FROM unnest($1, $2) WITH ORDINALITY AS v(p1, p2, nth) \
             CROSS JOIN LATERAL (SELECT a FROM t WHERE b = v.p1 AND c = v.p2 LIMIT 1) AS found"
        );
    }
}
