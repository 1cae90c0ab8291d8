//! The columns of a list as a CSV, as the OpenAPI document describes its rows. An empty list has them too.

use std::collections::HashSet;

use serde_json::Value;

/// How deep objects become columns; what is deeper is JSON in one cell.
const DEPTH_MAX: usize = 4;

/// A list as a table.
#[derive(Debug, PartialEq)]
pub(super) struct Sheet {
    /// The columns, in the order of the fields.
    pub(super) columns: Vec<Column>,
    /// Whether the list comes in pages.
    pub(super) is_paged: bool,
    /// The fields that a row has only if they are named in `group_by`.
    pub(super) groups: Vec<String>,
}

/// A field of a row.
#[derive(Debug, PartialEq)]
pub(super) enum Column {
    /// One column.
    Cell {
        /// The field's name.
        name: String,
        /// How its value is written.
        kind: CellKind,
    },
    /// An object of fixed shape: a column for each of its own fields.
    Object {
        /// The field's name, which stands before a dot in the names of its columns.
        name: String,
        /// Its fields.
        columns: Vec<Column>,
    },
}

/// How the value of a cell is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellKind {
    /// A text, a number, a truth value.
    Plain,
    /// A text that may be a number (`format: decimal`, `decimal-or-text`).
    Decimal,
    /// Anything: it is written as JSON.
    Json,
}

impl Sheet {
    /// The table of an operation of `document`; `None` for what answers no list.
    pub(super) fn of(operation: &Value, document: &Value) -> Option<Self> {
        let body = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let data = &resolved(body, document)["properties"]["data"];
        let rows = data.get("items").filter(|_| data["type"] == "array")?;
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parameter =
            |name: &str| parameters.iter().find(|one| one["name"] == name && one["in"] == "query");
        let is_paged = parameter("limit").is_some();
        let columns = columns(rows, document, 0)?;
        // The optional fields of a summary, which has to be grouped, say what it is grouped by.
        let is_summary = parameter("group_by").is_some_and(|group_by| group_by["required"] == true);
        let required = required(rows, document);
        let optional = columns.iter().map(Column::name).filter(|name| !required.contains(name));
        let groups = optional.filter(|_| is_summary).map(str::to_owned).collect();
        Some(Self { columns, is_paged, groups })
    }

    /// The columns of an answer: of the fields that rows are grouped by only those that `is_there`.
    pub(super) fn columns_with(&self, is_there: impl Fn(&str) -> bool) -> Vec<&Column> {
        let fits = |column: &&Column| {
            let name = column.name();
            !self.groups.iter().any(|group| group == name) || is_there(name)
        };
        self.columns.iter().filter(fits).collect()
    }
}

impl Column {
    fn name(&self) -> &str {
        match self {
            Self::Cell { name, .. } | Self::Object { name, .. } => name,
        }
    }

    /// How many columns it has.
    pub(super) fn width(&self) -> usize {
        match self {
            Self::Cell { .. } => 1,
            Self::Object { columns, .. } => columns.iter().map(Self::width).sum(),
        }
    }
}

/// The names of these columns.
pub(super) fn names<'c>(columns: impl IntoIterator<Item = &'c Column>) -> Vec<String> {
    let mut names = Vec::new();
    collect_names(columns, "", &mut names);
    names
}

fn collect_names<'c>(columns: impl IntoIterator<Item = &'c Column>, prefix: &str, names: &mut Vec<String>) {
    for column in columns {
        match column {
            Column::Cell { name, .. } => names.push(format!("{prefix}{name}")),
            Column::Object { name, columns } => collect_names(columns, &format!("{prefix}{name}."), names),
        }
    }
}

/// The schema that a chain of references leads to.
fn resolved<'d>(mut schema: &'d Value, document: &'d Value) -> &'d Value {
    while let Some(target) =
        schema["$ref"].as_str().and_then(|name| document.pointer(name.strip_prefix('#')?))
    {
        schema = target;
    }
    schema
}

/// The columns of an object of fixed shape; `None` for anything else.
fn columns(schema: &Value, document: &Value, depth: usize) -> Option<Vec<Column>> {
    let fields = fields(schema, document);
    let column = |(name, schema): (&str, &Value)| column(name, schema, document, depth);
    (!fields.is_empty()).then(|| fields.into_iter().map(column).collect())
}

/// The fields of an object of fixed shape, in the order of the answers; none for anything else.
fn fields<'d>(schema: &'d Value, document: &'d Value) -> Vec<(&'d str, &'d Value)> {
    let schema = resolved(schema, document);
    if let Some(parts) = schema["allOf"].as_array() {
        return parts.iter().flat_map(|part| fields(part, document)).collect();
    }
    let open = schema.get("additionalProperties").is_some_and(|others| *others != Value::Bool(false));
    let properties = schema["properties"].as_object().filter(|_| !open);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema)).collect()
}

/// The names of the fields that are always there.
fn required<'d>(schema: &'d Value, document: &'d Value) -> HashSet<&'d str> {
    let schema = resolved(schema, document);
    let own = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let parts = schema["allOf"].as_array().into_iter().flatten();
    own.chain(parts.flat_map(|part| required(part, document))).collect()
}

fn column(name: &str, schema: &Value, document: &Value, depth: usize) -> Column {
    let schema = not_null(resolved(schema, document), document);
    let name = name.to_owned();
    match columns(schema, document, depth + 1).filter(|_| depth < DEPTH_MAX) {
        Some(columns) => Column::Object { name, columns },
        None => Column::Cell { name, kind: kind(schema, document) },
    }
}

/// The one alternative beside null, if it is the only one; else the schema itself.
fn not_null<'d>(schema: &'d Value, document: &'d Value) -> &'d Value {
    let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    let mut others = alternatives.into_iter().flatten().filter(|one| one["type"] != "null");
    match (others.next(), others.next()) {
        (Some(one), None) => resolved(one, document),
        _ => schema,
    }
}

fn kind(schema: &Value, document: &Value) -> CellKind {
    let schema = not_null(resolved(schema, document), document);
    if let Some(alternatives) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let mut kinds = alternatives.iter().map(|one| kind(one, document));
        return if kinds.all(|kind| kind != CellKind::Json) { CellKind::Plain } else { CellKind::Json };
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        // A list of words needs no type; a schema that allows anything has none.
        _ if schema["enum"].is_array() || schema.get("const").is_some() => return CellKind::Plain,
        _ => return CellKind::Json,
    };
    match types.iter().any(|one| ["object", "array"].contains(one)) {
        true => CellKind::Json,
        false if schema["format"].as_str().is_some_and(|format| format.starts_with("decimal")) => {
            CellKind::Decimal
        }
        false => CellKind::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sheet(row: Value, parameters: Value) -> Option<Sheet> {
        let row_of = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        let document = json!({ "components": { "schemas": {
            "Row": row,
            "Page": { "properties": { "data": { "type": "array", "items": row_of("Row") } } },
            "Key": { "type": "object", "required": ["name", "id"],
                "properties": { "name": { "type": "string" }, "id": { "type": "string" } } },
            "Word": { "type": "string", "enum": ["a"] },
        } } });
        let content = json!({ "application/json": { "schema": row_of("Page") } });
        let operation = json!({ "parameters": parameters, "responses": { "200": { "content": content } } });
        Sheet::of(&operation, &document)
    }

    #[test]
    fn objects_of_fixed_shape_are_columns_and_everything_else_is_a_cell() {
        let key = json!({ "$ref": "#/components/schemas/Key" });
        let row = json!({ "type": "object", "required": ["id", "by", "tags", "n"], "properties": {
            "id": { "type": "string" },
            "by": { "oneOf": [key, { "type": "null" }] },
            "n": { "type": ["string", "null"], "format": "decimal" },
            "any": {},
            "either": { "oneOf": [key, { "type": "object", "properties": { "x": {} } }] },
            "map": { "type": "object", "additionalProperties": { "type": "string" } },
            "payload": { "type": ["object", "null"] },
            "tags": { "type": "array", "items": { "type": "string" } },
            "word": { "oneOf": [{ "$ref": "#/components/schemas/Word" }, { "type": "null" }] },
        } });
        let limit = json!([{ "name": "limit", "in": "query" }]);
        let sheet = sheet(row, limit).expect("a list");
        // In the order of the answers, whether a row may be without it or not.
        let names = "id by.name by.id n any either map payload tags word";
        assert_eq!((super::names(&sheet.columns).join(" ").as_str(), sheet.is_paged), (names, true));
        let kinds = sheet.columns.iter().filter_map(|column| match column {
            Column::Cell { name, kind } => Some((name.as_str(), *kind)),
            Column::Object { .. } => None,
        });
        for (name, kind) in kinds {
            let expected = match name {
                "id" | "word" => CellKind::Plain,
                "n" => CellKind::Decimal,
                _ => CellKind::Json,
            };
            assert_eq!(kind, expected, "{name}");
        }
    }

    #[test]
    fn a_summary_begins_with_what_it_is_grouped_by() {
        let row = json!({ "allOf": [
            { "type": "object", "required": ["sessions"], "properties": {
                "month": { "type": "string" }, "sessions": { "type": "integer" } } },
            { "type": "object", "required": ["wh"], "properties": { "wh": { "type": "integer" } } },
        ] });
        let by = |required: bool| json!([{ "name": "group_by", "in": "query", "required": required }]);
        let report = sheet(row.clone(), by(false)).expect("a list");
        assert_eq!(
            names(report.columns_with(|_| false)),
            ["month", "sessions", "wh"],
            "a report always has it"
        );
        let sheet = sheet(row, by(true)).expect("a list");
        assert_eq!((names(&sheet.columns).join(" ").as_str(), sheet.is_paged), ("month sessions wh", false));
        assert_eq!(names(sheet.columns_with(|_| false)), ["sessions", "wh"]);
        assert_eq!(names(sheet.columns_with(|field| field == "month")), ["month", "sessions", "wh"]);
    }

    #[test]
    fn what_answers_no_list_has_no_columns() {
        assert_eq!(sheet(json!({ "type": "string" }), json!([])), None);
        assert_eq!(Sheet::of(&json!({ "responses": { "200": {} } }), &json!({})), None);
    }
}
