//! Query strings, checked against the parameters of the OpenAPI document. Unknown parameters, repeated ones
//! and wrong values are a 422 that names them all.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::map::Entry;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};

use super::problem::{ErrorAnswer, Result, UNKNOWN_PARAMETER};
use super::schema::Checker;
use super::{ApiState, openapi};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::units;

/// Parameters of a call, and checks that their schemas cannot express.
pub(super) trait Parameters: IntoParams + DeserializeOwned {
    /// Adds errors of `given` that the schemas do not find. It runs even if they found some, so that a 422
    /// names everything; a value may have a wrong type.
    fn wrong(_given: &Value, _errors: &mut Vec<FieldError>) {}
}

/// The query string as `T` declares it.
pub(super) struct Query<T>(pub(super) T);

/// Two sets of parameters together; no name is in both.
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

impl<A: Parameters, B: Parameters> Parameters for And<A, B> {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        A::wrong(given, errors);
        B::wrong(given, errors);
    }
}

/// How the text of a parameter is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Flag,
    /// A time, or a duration back from now.
    Moment,
    /// May be given several times.
    Texts,
    /// Its name ends in [`ANY_KEY`]: every name that begins so is a member of one object.
    Members,
}

/// How the name of a parameter ends that stands for many: `metadata.KEY` for `metadata.zone` and others. What
/// is given of them becomes an object under the parameter's own name.
const ANY_KEY: &str = ".KEY";

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
                ErrorAnswer::internal()
            })?;
            let (kind, schema) = match parameter.name.ends_with(ANY_KEY) {
                true => (Kind::Members, json!({ "type": "object", "additionalProperties": schema })),
                false => (kind_of(&schema), schema),
            };
            kinds.insert(parameter.name.clone(), kind);
            properties.insert(parameter.name, schema);
        }
        let schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        Ok(Self { kinds, checker: Checker::new(schema, openapi::components())? })
    }

    /// What the schema finds, by the names of the parameters.
    fn errors(&self, given: &Value) -> Vec<FieldError> {
        let found = self.checker.errors(given).into_iter();
        found.map(|error| FieldError::new(named(&error.field), error.message)).collect()
    }

    /// The parameter that a name stands for, and what is behind the dot of one of many.
    fn parameter<'n>(&self, name: &'n str) -> Option<(String, Kind, &'n str)> {
        let many = name.split_once('.').filter(|(_, key)| !key.is_empty());
        if let Some((first, key)) = many
            && let many = format!("{first}{ANY_KEY}")
            && self.kinds.get(&many) == Some(&Kind::Members)
        {
            return Some((many, Kind::Members, key));
        }
        let kind = self.kinds.get(name).filter(|kind| **kind != Kind::Members)?;
        Some((name.to_owned(), *kind, ""))
    }
}

fn kind_of(schema: &Value) -> Kind {
    let is = |name: &str| match &schema["type"] {
        Value::String(one) => one == name,
        Value::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    };
    let has_times = |kinds: &Vec<Value>| kinds.iter().any(|kind| kind["format"] == "date-time");
    if schema["anyOf"].as_array().is_some_and(has_times) {
        Kind::Moment
    } else if is("array") {
        Kind::Texts
    } else if is("integer") {
        Kind::Integer
    } else if is("boolean") {
        Kind::Flag
    } else {
        Kind::Text
    }
}

/// The value of a text, as the schema needs it. A text that cannot be read stays a text, which the schema
/// then refuses.
fn read(kind: Kind, text: &str, now: Timestamp) -> Value {
    match (kind, text) {
        (Kind::Flag, "true") => Value::Bool(true),
        (Kind::Flag, "false") => Value::Bool(false),
        (Kind::Moment, _) => moment(text, now),
        (Kind::Integer, _) => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        _ => text.into(),
    }
}

/// The time of a text; a text that is no time stays as it is.
fn moment(text: &str, now: Timestamp) -> Value {
    units::moment(text, now).map_or_else(|| text.into(), |moment| moment.to_string().into())
}

/// Replaces durations in members of a body with times, as [`parse`] does in a query.
pub(super) fn set_moments(body: &mut Value, names: &[&str], now: Timestamp) {
    for name in names {
        if let Some(member) = body.get_mut(*name)
            && let Some(text) = member.as_str()
        {
            *member = moment(text, now);
        }
    }
}

/// The name of the parameter that a path within the parameters leads to. One that may be given several times
/// has one name, one that stands for many has that which was given.
fn named(path: &str) -> String {
    match path.split_once('.') {
        Some((first, rest)) => match rest.strip_prefix(ANY_KEY.trim_start_matches('.')) {
            Some(key) => format!("{first}{key}"),
            None => first.to_owned(),
        },
        None => path.to_owned(),
    }
}

/// Reads a query string.
///
/// # Errors
/// A 422 with every wrong parameter.
pub(super) fn parse<T: Parameters + 'static>(query: &str, now: Timestamp) -> Result<T> {
    let shape = Shape::of::<T>()?;
    let mut errors = Vec::new();
    let mut given = Map::new();
    for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
        let Some((parameter, kind, key)) = shape.parameter(&name) else {
            errors.push(FieldError::new(name, UNKNOWN_PARAMETER));
            continue;
        };
        let is_first = match (kind, given.entry(parameter)) {
            (Kind::Texts, place) => {
                if let Some(texts) = place.or_insert_with(|| json!([])).as_array_mut() {
                    texts.push(text.into());
                }
                true
            }
            (Kind::Members, place) => {
                let members = place.or_insert_with(|| json!({})).as_object_mut();
                members.is_some_and(|members| members.insert(key.to_owned(), text.into()).is_none())
            }
            (_, Entry::Occupied(_)) => false,
            (kind, Entry::Vacant(place)) => {
                place.insert(read(kind, &text, now));
                true
            }
        };
        if !is_first {
            errors.push(FieldError::new(name, "may be given only once"));
        }
    }
    let given = Value::Object(given);
    errors.extend(shape.errors(&given));
    finish(given, errors)
}

/// Reads the same parameters from an object of a body, whose members have the types of JSON. Durations in the
/// place of times become times in it.
///
/// # Errors
/// A 422 with every wrong member.
pub(super) fn from_object<T: Parameters + 'static>(
    members: &mut Map<String, Value>,
    now: Timestamp,
) -> Result<T> {
    let shape = Shape::of::<T>()?;
    let mut given = Map::new();
    for (name, member) in members {
        match shape.parameter(name) {
            Some((many, Kind::Members, key)) => {
                if let Some(object) = given.entry(many).or_insert_with(|| json!({})).as_object_mut() {
                    object.insert(key.to_owned(), member.clone());
                }
                continue;
            }
            Some((_, Kind::Moment, _)) => {
                if let Some(text) = member.as_str() {
                    *member = moment(text, now);
                }
            }
            // The schema names an unknown one.
            _ => {}
        }
        given.insert(name.clone(), member.clone());
    }
    let given = Value::Object(given);
    let errors = shape.errors(&given);
    finish(given, errors)
}

/// The schema of an object with the same parameters as members. What stands for many is the schema of all
/// members that have no other: a schema has no better words for names that begin alike.
pub(super) fn object_schema<T: IntoParams>() -> Schema {
    let mut object = ObjectBuilder::new().schema_type(Type::Object);
    let mut others = AdditionalProperties::FreeForm(false);
    for parameter in T::into_params(|| Some(ParameterIn::Query)) {
        let Some(schema) = parameter.schema else { continue };
        let schema = described(schema, parameter.description);
        match parameter.name.ends_with(ANY_KEY) {
            true => others = AdditionalProperties::RefOr(schema),
            false => object = object.property(parameter.name, schema),
        }
    }
    Schema::Object(object.additional_properties(Some(others)).build())
}

/// The schema of a parameter, with the words that a parameter has beside it.
fn described(mut schema: RefOr<Schema>, words: Option<String>) -> RefOr<Schema> {
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.description = words;
    }
    schema
}

/// Reads parameters in which the schema has found these errors.
fn finish<T: Parameters>(given: Value, mut errors: Vec<FieldError>) -> Result<T> {
    let mut meant = Vec::new();
    T::wrong(&given, &mut meant);
    // A parameter that cannot be read needs no second error.
    meant.retain(|error| errors.iter().all(|named| named.field != error.field));
    errors.append(&mut meant);
    if !errors.is_empty() {
        return Err(ErrorAnswer::invalid(errors));
    }
    serde_json::from_value(given).map_err(|error| ErrorAnswer::invalid_field("", error.to_string()))
}

impl<T: Parameters + 'static> FromRequestParts<Arc<ApiState>> for Query<T> {
    type Rejection = ErrorAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self> {
        parse(parts.uri.query().unwrap_or_default(), state.clock.now()).map(Self)
    }
}

/// For calls without parameters: any one is unknown.
pub(super) struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ErrorAnswer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let unknown: Vec<FieldError> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .map(|(name, _)| FieldError::new(name, UNKNOWN_PARAMETER))
                .collect();
        if unknown.is_empty() { Ok(Self) } else { Err(ErrorAnswer::invalid(unknown)) }
    }
}
