//! What a form sends. It has passed [`super::guard`]: it comes from the same origin, and from a page of this
//! session.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::query::Query;

/// The fields of a form. An empty field counts as none.
#[derive(Debug, Clone, Default)]
pub(super) struct Form(Query);

impl Form {
    /// Reads a body.
    pub(super) fn parse(body: &str) -> Self {
        Self(Query::parse(body))
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// All fields.
    pub(super) fn query(&self) -> &Query {
        &self.0
    }

    /// The texts of some fields as members of a body for the API; a field without text is null.
    pub(super) fn texts(&self, names: &[&str]) -> Map<String, Value> {
        let member = |name: &&str| ((*name).to_owned(), self.get(name).map_or(Value::Null, Value::from));
        names.iter().map(member).collect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Form {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // The guard sets it on everything that it lets pass.
        parts.extensions.get::<Self>().cloned().ok_or(Failure::ForeignForm)
    }
}
