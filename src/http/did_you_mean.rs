//! Suggests names for unknown ones: which name may have been meant, and where it belongs.
//!
//! One layer around all handlers adds the suggestions. It knows from the OpenAPI document what each call
//! takes.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::openapi;
use super::problem::{ErrorAnswer, UNKNOWN_FIELD, UNKNOWN_PARAMETER};
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::similar_name::near;

/// Adds suggestions for the unknown names in a 422.
pub(super) async fn add(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let Some(operation) = matched.and_then(|path| openapi::operation(&method, path.as_str())) else {
        return response;
    };
    let call = Call::of(operation);
    for error in &mut problem.errors {
        if let Some(hint) = call.hint(error) {
            error.message.push_str(&hint);
        }
    }
    ErrorAnswer::from(problem).into_response()
}

/// The parameters and the body of a call.
struct Call<'d> {
    parameters: Vec<&'d str>,
    /// The schema of its body; null if it takes none.
    body: &'d Value,
}

impl<'d> Call<'d> {
    fn of(operation: &'d Value) -> Self {
        let all = operation["parameters"].as_array().into_iter().flatten();
        let of_query = all.filter(|parameter| parameter["in"] == "query");
        Self {
            parameters: of_query.filter_map(|parameter| parameter["name"].as_str()).collect(),
            body: &operation["requestBody"]["content"]["application/json"]["schema"],
        }
    }

    fn hint(&self, error: &FieldError) -> Option<String> {
        let name = error.field.as_str();
        match error.message.as_str() {
            UNKNOWN_FIELD => self.of_field(name),
            UNKNOWN_PARAMETER => self.of_parameter(name),
            _ => None,
        }
    }

    fn of_field(&self, field: &str) -> Option<String> {
        if self.parameters.contains(&field) {
            return Some(format!(
                ": it is a query parameter of this call, ?{field}=, and not part of the body"
            ));
        }
        let members = members(self.body);
        if let Some(meant) = near(field, members.iter().copied()) {
            return Some(did_you_mean(meant));
        }
        if let Some(meant) = near(field, self.parameters.iter().copied()) {
            return Some(format!("{} (a query parameter of this call)", did_you_mean(meant)));
        }
        // Within an object, or an entry of a list, of the body.
        let (parent, name) = field.rsplit_once('.')?;
        let inner = parent.split('.').try_fold(self.body, within)?;
        near(name, self::members(inner)).map(did_you_mean)
    }

    fn of_parameter(&self, name: &str) -> Option<String> {
        if let Some(meant) = near(name, self.parameters.iter().copied()).filter(|_| !self.has_member(name)) {
            return Some(did_you_mean(meant));
        }
        if self.has_member(name) {
            return Some(": it is a field of this call's body, and not part of the query".to_owned());
        }
        let meant = near(name, members(self.body))?;
        Some(format!("{} (a field of this call's body)", did_you_mean(meant)))
    }

    fn has_member(&self, name: &str) -> bool {
        members(self.body).contains(&name)
    }
}

fn did_you_mean(name: &str) -> String {
    format!("; did you mean {name:?}?")
}

/// The schema that a reference leads to.
fn resolved(schema: &Value) -> &Value {
    let component = schema["$ref"].as_str().and_then(|place| place.strip_prefix("#/components/schemas/"));
    component.map_or(schema, |name| &openapi::components()["schemas"][name])
}

/// The names of members of this schema.
fn members(schema: &Value) -> Vec<&str> {
    let schema = resolved(schema);
    let own = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    own.chain(alternatives(schema).flat_map(members)).collect()
}

/// The schema of a member, or of an entry of a list.
fn within<'d>(schema: &'d Value, step: &str) -> Option<&'d Value> {
    let schema = resolved(schema);
    let own = schema["properties"].get(step).or_else(|| step.parse::<usize>().ok().and(schema.get("items")));
    own.or_else(|| alternatives(schema).find_map(|schema| within(schema, step)))
}

/// The alternatives of a schema, such as "null or an object".
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|of| schema[of].as_array()).flatten()
}
