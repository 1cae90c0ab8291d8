//! Query strings, checked against the very parameters that the OpenAPI document declares: unknown ones,
//! ones given twice and values out of range are a 422 that names them all.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::openapi;
use super::problem::Result;
use super::schema::Checker;
use crate::api::problem::{FieldError, Problem};
use crate::subscription::EventPattern;

/// The query string as `T` declares it.
pub(super) struct Query<T>(pub(super) T);

/// What two sets of parameters, of which no name is in both, make together.
pub(super) struct And<A, B>(pub(super) A, pub(super) B);

impl<A: IntoParams, B: IntoParams> IntoParams for And<A, B> {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = A::into_params(&place);
        parameters.extend(B::into_params(&place));
        parameters
    }
}

impl<'de, A: DeserializeOwned, B: DeserializeOwned> Deserialize<'de> for And<A, B> {
    fn deserialize<D: Deserializer<'de>>(given: D) -> std::result::Result<Self, D::Error> {
        let given = Value::deserialize(given)?;
        let first = A::deserialize(&given).map_err(D::Error::custom)?;
        let second = B::deserialize(&given).map_err(D::Error::custom)?;
        Ok(Self(first, second))
    }
}

/// How the text of a parameter is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Flag,
    /// May be given again and again.
    Texts,
}

struct Shape {
    kinds: HashMap<String, Kind>,
    checker: Checker,
}

static SHAPES: LazyLock<RwLock<HashMap<TypeId, Arc<Shape>>>> = LazyLock::new(RwLock::default);

impl Shape {
    fn of<T: IntoParams + 'static>() -> Result<Arc<Self>> {
        let id = TypeId::of::<T>();
        if let Some(shape) = SHAPES.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(shape.clone());
        }
        let shape = Arc::new(Self::build::<T>()?);
        SHAPES.write().unwrap_or_else(PoisonError::into_inner).insert(id, shape.clone());
        Ok(shape)
    }

    fn build<T: IntoParams>() -> Result<Self> {
        let mut kinds = HashMap::new();
        let mut properties = Map::new();
        for parameter in T::into_params(|| Some(ParameterIn::Query)) {
            let schema = serde_json::to_value(&parameter.schema).map_err(|error| {
                tracing::error!("a parameter of the OpenAPI document is not JSON: {error}");
                Problem::internal()
            })?;
            kinds.insert(parameter.name.clone(), kind_of(&schema));
            properties.insert(parameter.name, schema);
        }
        let schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        Ok(Self { kinds, checker: Checker::new(schema, openapi::components())? })
    }
}

fn kind_of(schema: &Value) -> Kind {
    let is = |name: &str| match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    if is("array") {
        Kind::Texts
    } else if is("integer") {
        Kind::Integer
    } else if is("boolean") {
        Kind::Flag
    } else {
        Kind::Text
    }
}

/// What the text says, as the schema wants it; a text that says something else stays a text, which
/// the schema then refuses.
fn read(kind: Kind, text: &str) -> Value {
    match (kind, text) {
        (Kind::Flag, "true") => Value::Bool(true),
        (Kind::Flag, "false") => Value::Bool(false),
        (Kind::Integer, _) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

/// What is wrong with the event patterns of a list.
fn wrong_patterns(given: &Value) -> impl Iterator<Item = FieldError> {
    let patterns = given["event"].as_array().into_iter().flatten().filter_map(Value::as_str);
    patterns.filter_map(|text| {
        let error = text.parse::<EventPattern>().err()?;
        Some(FieldError::new("event", error.to_string()))
    })
}

/// Reads a query string.
///
/// # Errors
/// A 422 with every wrong parameter.
pub(super) fn parse<T: IntoParams + DeserializeOwned + 'static>(query: &str) -> Result<T> {
    let shape = Shape::of::<T>()?;
    let mut errors = Vec::new();
    let mut given = Map::new();
    for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
        match shape.kinds.get(name.as_ref()) {
            None => errors.push(FieldError::new(name, "is not a known parameter")),
            Some(Kind::Texts) => {
                let texts = given.entry(name).or_insert_with(|| json!([]));
                if let Some(texts) = texts.as_array_mut() {
                    texts.push(text.into());
                }
            }
            Some(_) if given.contains_key(name.as_ref()) => {
                errors.push(FieldError::new(name, "may be given only once"));
            }
            Some(kind) => {
                given.insert(name.into_owned(), read(*kind, &text));
            }
        }
    }
    let given = Value::Object(given);
    for mut error in shape.checker.errors(&given) {
        // A parameter that may be given several times has one name all the same.
        if let Some((name, _)) = error.field.split_once('.') {
            error.field = name.to_owned();
        }
        errors.push(error);
    }
    if !errors.is_empty() {
        // A 422 names everything: also the patterns, which are otherwise read by whoever lists.
        errors.extend(wrong_patterns(&given));
        return Err(Problem::invalid(errors));
    }
    serde_json::from_value(given).map_err(|error| Problem::invalid_field("", error.to_string()))
}

impl<S: Send + Sync, T: IntoParams + DeserializeOwned + 'static> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// For calls without parameters: any is unknown.
pub(super) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let unknown: Vec<FieldError> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .map(|(name, _)| FieldError::new(name, "is not a known parameter"))
                .collect();
        if unknown.is_empty() { Ok(Self) } else { Err(Problem::invalid(unknown)) }
    }
}
