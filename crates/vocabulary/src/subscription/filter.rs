//! A webhook's `filter`: conditions on an event's payload, compiled once.
//!
//! `{"connectorId": 1, "meterValue.0.transactionId": {"$exists": true}, "$or": [{…}, {…}]}`. All members
//! of an object must hold. Dotted paths go through members, and through arrays by number. A member that is
//! not there fits no comparison, not even with null; `{"$exists": false}` asks for its absence.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::number;

/// How deep a filter may nest.
pub const MAX_DEPTH: usize = 16;
/// How many conditions a filter may have, members of `$in` lists included.
pub const MAX_CONDITIONS: usize = 256;
/// How long a dotted path may be, in bytes.
pub const MAX_PATH_BYTES: usize = 256;

const FIELD_OPERATORS: &str = "$in, $gt, $gte, $lt, $lte, $exists, $not";
const TOP_OPERATORS: &str = "$or, $and, $not";

/// What is wrong with one place of a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FilterError {
    /// The dotted path of the place within the filter (`connectorId.$gt`, `$or.1.status`); empty for the
    /// whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Condition);

#[derive(Debug, Clone, PartialEq)]
enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Field { path: Vec<String>, test: Test },
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Equals(Value),
    In(Vec<Value>),
    Compare(Comparison, Value),
    Exists(bool),
    Not(Box<Test>),
    All(Vec<Test>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
        }
    }
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// Every wrong place.
    pub fn parse(json: &Value) -> Result<Self, Vec<FilterError>> {
        let mut reader = Reader { errors: Vec::new(), conditions: 0 };
        let condition = reader.conditions("", json, 0);
        if reader.conditions > MAX_CONDITIONS {
            reader.wrong("", format!("a filter has at most {MAX_CONDITIONS} conditions"));
        }
        if reader.errors.is_empty() { Ok(Self(condition)) } else { Err(reader.errors) }
    }

    /// Whether a payload fits.
    pub fn fits(&self, payload: &Value) -> bool {
        self.0.fits(payload)
    }
}

impl Condition {
    fn fits(&self, payload: &Value) -> bool {
        match self {
            Self::All(all) => all.iter().all(|condition| condition.fits(payload)),
            Self::Any(any) => any.iter().any(|condition| condition.fits(payload)),
            Self::Not(not) => !not.fits(payload),
            Self::Field { path, test } => test.fits(find(payload, path)),
        }
    }
}

impl Test {
    fn fits(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Equals(wanted) => found.is_some_and(|value| equal(value, wanted)),
            Self::In(any) => found.is_some_and(|value| any.iter().any(|wanted| equal(value, wanted))),
            Self::Compare(comparison, bound) => {
                found.and_then(|value| order(value, bound)).is_some_and(|ordering| comparison.holds(ordering))
            }
            Self::Exists(wanted) => found.is_some() == *wanted,
            Self::Not(not) => !not.fits(found),
            Self::All(all) => all.iter().all(|test| test.fits(found)),
        }
    }
}

fn find<'v>(payload: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(payload, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => number::compare(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Numbers order by value, texts by their characters (so RFC 3339 times in UTC do too); nothing else has an
/// order.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(number::compare(a, b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

struct Reader {
    errors: Vec<FilterError>,
    conditions: usize,
}

impl Reader {
    fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.errors.push(FilterError { path: path.to_owned(), message: message.into() });
    }

    fn too_deep(&mut self, path: &str, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            self.wrong(path, format!("a filter nests at most {MAX_DEPTH} deep"));
        }
        depth > MAX_DEPTH
    }

    /// An object of conditions that must all hold.
    fn conditions(&mut self, path: &str, json: &Value, depth: usize) -> Condition {
        let mut all = Vec::new();
        if self.too_deep(path, depth) {
            return Condition::All(all);
        }
        let Some(members) = json.as_object() else {
            self.wrong(path, "an object of conditions is expected, such as {\"connectorId\": 1}");
            return Condition::All(all);
        };
        for (name, operand) in members {
            let at = join(path, name);
            match name.as_str() {
                "$or" => all.push(Condition::Any(self.alternatives(&at, operand, depth))),
                "$and" => all.push(Condition::All(self.alternatives(&at, operand, depth))),
                "$not" => all.push(Condition::Not(Box::new(self.conditions(&at, operand, depth + 1)))),
                operator if operator.starts_with('$') => self.wrong(
                    &at,
                    format!(
                        "{operator} is no operator here: {TOP_OPERATORS}, or the path of a payload field"
                    ),
                ),
                field => all.push(self.field(&at, field, operand, depth)),
            }
        }
        Condition::All(all)
    }

    fn alternatives(&mut self, path: &str, json: &Value, depth: usize) -> Vec<Condition> {
        match json.as_array() {
            Some(items) if !items.is_empty() => items
                .iter()
                .enumerate()
                .map(|(place, item)| self.conditions(&join(path, &place.to_string()), item, depth + 1))
                .collect(),
            _ => {
                self.wrong(path, "a list of at least one object of conditions is expected");
                Vec::new()
            }
        }
    }

    fn field(&mut self, at: &str, field: &str, operand: &Value, depth: usize) -> Condition {
        if field.len() > MAX_PATH_BYTES {
            self.wrong(at, format!("a path has at most {MAX_PATH_BYTES} bytes"));
        }
        let path: Vec<String> = field.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            self.wrong(at, "a path is names joined by single dots");
        }
        Condition::Field { path, test: self.test(at, operand, depth) }
    }

    /// A literal, or an object of operators that must all hold.
    fn test(&mut self, at: &str, operand: &Value, depth: usize) -> Test {
        self.conditions += 1;
        if self.too_deep(at, depth) {
            return Test::All(Vec::new());
        }
        match operand.as_object() {
            Some(members) if members.keys().any(|name| name.starts_with('$')) => {
                self.operators(at, members, depth)
            }
            _ => Test::Equals(operand.clone()),
        }
    }

    fn operators(&mut self, at: &str, members: &Map<String, Value>, depth: usize) -> Test {
        let mut all = Vec::with_capacity(members.len());
        for (name, operand) in members {
            let at = join(at, name);
            match name.as_str() {
                "$in" => all.push(self.list(&at, operand)),
                "$gt" => all.push(self.comparison(&at, Comparison::Greater, operand)),
                "$gte" => all.push(self.comparison(&at, Comparison::GreaterOrEqual, operand)),
                "$lt" => all.push(self.comparison(&at, Comparison::Less, operand)),
                "$lte" => all.push(self.comparison(&at, Comparison::LessOrEqual, operand)),
                "$exists" => match operand.as_bool() {
                    Some(wanted) => all.push(Test::Exists(wanted)),
                    None => self.wrong(&at, "true or false is expected"),
                },
                "$not" => all.push(Test::Not(Box::new(self.test(&at, operand, depth + 1)))),
                other => {
                    self.wrong(
                        &at,
                        format!("{other} is no operator on a field: {FIELD_OPERATORS}, or a value"),
                    );
                }
            }
        }
        self.conditions += members.len().saturating_sub(1);
        Test::All(all)
    }

    fn list(&mut self, at: &str, operand: &Value) -> Test {
        match operand.as_array() {
            Some(items) => {
                self.conditions += items.len();
                Test::In(items.clone())
            }
            None => {
                self.wrong(at, "a list of values is expected");
                Test::In(Vec::new())
            }
        }
    }

    fn comparison(&mut self, at: &str, comparison: Comparison, operand: &Value) -> Test {
        if !operand.is_number() && !operand.is_string() {
            self.wrong(at, "a number or a text is expected");
        }
        Test::Compare(comparison, operand.clone())
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<Filter, Vec<FilterError>> {
        Filter::parse(&serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn payloads_fit_or_do_not() {
        let payload: Value = serde_json::from_str(
            r#"{"connectorId": 1.0, "idTag": "ABC", "info": null, "a": {"b": [10, {"c": "x"}]},
                "big": 12345678901234567890123, "time": "2026-04-14T12:00:00Z"}"#,
        )
        .expect("JSON");
        for (json, fits) in [
            (r#"{}"#, true),
            (r#"{"connectorId": 1}"#, true),
            (r#"{"connectorId": "1"}"#, false),
            (r#"{"connectorId": 10e-1, "idTag": "ABC"}"#, true),
            (r#"{"connectorId": 1, "idTag": "abc"}"#, false),
            (r#"{"info": null}"#, true),
            (r#"{"missing": null}"#, false),
            (r#"{"missing": {"$not": null}}"#, true),
            (r#"{"a.b.1.c": "x"}"#, true),
            (r#"{"a.b.0": {"$gte": 10, "$lt": 10.5}}"#, true),
            (r#"{"a.b": [10.0, {"c": "x"}]}"#, true),
            (r#"{"a": {"b": [10, {"c": "x"}]}}"#, true),
            (r#"{"a": {"b": [10]}}"#, false),
            (r#"{"a.b.7": {"$exists": false}}"#, true),
            (r#"{"idTag.x": {"$exists": true}}"#, false),
            (r#"{"info": {"$exists": true}}"#, true),
            (r#"{"connectorId": {"$in": [2, 1]}}"#, true),
            (r#"{"connectorId": {"$in": []}}"#, false),
            (r#"{"connectorId": {"$gt": "0"}}"#, false),
            (r#"{"missing": {"$lt": 5}}"#, false),
            (r#"{"missing": {"$not": {"$lt": 5}}}"#, true),
            (r#"{"time": {"$gte": "2026-04-14", "$lt": "2026-04-15"}}"#, true),
            (r#"{"big": {"$gt": 12345678901234567890122, "$lt": 12345678901234567890124}}"#, true),
            (r#"{"$or": [{"idTag": "X"}, {"connectorId": 1}]}"#, true),
            (r#"{"$or": [{"idTag": "X"}, {"connectorId": 2}]}"#, false),
            (r#"{"$and": [{"idTag": "ABC"}, {"$not": {"connectorId": 2}}]}"#, true),
            (r#"{"$not": {"idTag": "ABC", "connectorId": 1}}"#, false),
        ] {
            assert_eq!(filter(json).expect(json).fits(&payload), fits, "{json}");
        }
        assert!(!filter(r#"{"a": 1}"#).expect("a filter").fits(&Value::Null), "no object, no member");
    }

    #[test]
    fn every_wrong_place_is_named_with_its_path() {
        let paths = |json: &str| -> Vec<String> {
            filter(json).expect_err(json).into_iter().map(|error| error.path).collect()
        };
        assert_eq!(paths("[]"), [""]);
        assert_eq!(paths(r#"{"a": {"$regex": "x"}}"#), ["a.$regex"]);
        assert_eq!(paths(r#"{"a.b": {"$gt": 1, "c": 2}}"#), ["a.b.c"]);
        assert_eq!(paths(r#"{"$nor": []}"#), ["$nor"]);
        assert_eq!(paths(r#"{"$or": []}"#), ["$or"]);
        assert_eq!(paths(r#"{"$or": [{"a": 1}, 2]}"#), ["$or.1"]);
        assert_eq!(paths(r#"{"$and": [{"a": {"$in": 1}}], "$not": 5}"#), ["$and.0.a.$in", "$not"]);
        assert_eq!(paths(r#"{"a": {"$exists": 1}, "b": {"$lt": null}}"#), ["a.$exists", "b.$lt"]);
        assert_eq!(paths(r#"{"a..b": 1}"#), ["a..b"]);
        assert_eq!(paths(r#"{"": 1}"#), [""]);
        let error = filter(r#"{"a": {"$ne": 1}}"#).expect_err("unknown")[0].to_string();
        assert!(error.starts_with("a.$ne: ") && error.contains("$not"), "{error}");
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep =
            |levels: usize| format!("{}{{\"a\": 1}}{}", "{\"$not\": ".repeat(levels), "}".repeat(levels));
        assert!(filter(&deep(MAX_DEPTH)).is_ok());
        assert!(filter(&deep(MAX_DEPTH + 1)).is_err());
        let nested = format!("{{\"a\": {}1{}}}", "{\"$not\": ".repeat(20), "}".repeat(20));
        assert!(filter(&nested).is_err());
        let list = |length| format!("{{\"a\": {{\"$in\": {:?}}}}}", vec![0; length]);
        assert!(filter(&list(MAX_CONDITIONS - 1)).is_ok());
        assert!(filter(&list(MAX_CONDITIONS)).is_err());
        assert!(filter(&format!("{{\"{}\": 1}}", "p".repeat(MAX_PATH_BYTES + 1))).is_err());
    }
}
