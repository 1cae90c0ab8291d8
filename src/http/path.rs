//! The variable segment of a path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::problem::{ErrorAnswer, Result};

/// The name in a path, percent-decoded. The handler finds out whether the resource exists.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ErrorAnswer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path: std::result::Result<Path<String>, _> = Path::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|error| ErrorAnswer::malformed(error.body_text()))
    }
}
