//! Request bodies: read up to a limit, checked against their component schema, then read by serde.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::problem::{ErrorAnswer, Result, UNKNOWN_FIELD};
use super::schema::Checker;
use super::{ApiState, LimitsInForce, openapi};
use vocabulary::api::problem::FieldError;

/// A JSON body that is not checked yet.
pub(super) struct Json(pub(super) Value);

impl FromRequest<Arc<ApiState>> for Json {
    type Rejection = ErrorAnswer;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self> {
        JsonText::from_request(request, state).await.map(|JsonText { value, .. }| Self(value))
    }
}

/// The same with its own text, for members that are stored byte for byte.
pub(super) struct JsonText {
    pub(super) value: Value,
    pub(super) text: Bytes,
}

impl FromRequest<Arc<ApiState>> for JsonText {
    type Rejection = ErrorAnswer;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self> {
        let given = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?").to_owned());
        let text = arrived(request.into_body(), &state.limits).await?;
        // Without a Content-Type it can only be JSON; a form or a file is a mistake to name.
        if let Some(given) = given.filter(|given| !is_json(given)) {
            return Err(ErrorAnswer::unsupported_media_type(&given, "application/json"));
        }
        let value = serde_json::from_slice(&text)
            .map_err(|error| ErrorAnswer::malformed(format!("the body is not JSON: {error}")))?;
        Ok(Self { value, text })
    }
}

/// An optional body that the schema of `T` describes completely; no body means `{}`.
pub(super) struct Optional<T>(pub(super) T);

impl<T: ToSchema + DeserializeOwned> FromRequest<Arc<ApiState>> for Optional<T> {
    type Rejection = ErrorAnswer;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let mut body = arrived(body, &state.limits).await?;
        if body.trim_ascii().is_empty() {
            body = Bytes::from_static(b"{}");
        }
        let request = Request::from_parts(parts, HttpBody::from(body));
        Checked::from_request(request, state).await.map(|Checked(read)| Self(read))
    }
}

/// For calls that take no body: none, or an empty object.
pub(super) struct NoBody;

impl FromRequest<Arc<ApiState>> for NoBody {
    type Rejection = ErrorAnswer;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self> {
        let body = arrived(request.into_body(), &state.limits).await?;
        if body.trim_ascii().is_empty() {
            return Ok(Self);
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(members)) if members.is_empty() => Ok(Self),
            Ok(Value::Object(members)) => {
                let unknown = members.keys().map(|name| FieldError::new(name, UNKNOWN_FIELD));
                Err(ErrorAnswer::invalid(unknown.collect()))
            }
            Ok(_) => Err(ErrorAnswer::invalid_field("", "this call takes no body")),
            Err(error) => Err(ErrorAnswer::malformed(format!("the body is not JSON: {error}"))),
        }
    }
}

/// `application/json`, `application/merge-patch+json`, …
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json") || essence == "text/json"
}

/// The whole body of a request, within the limits.
///
/// # Errors
/// 413 past `limit_bytes`; 400 if it breaks off.
pub(super) async fn arrived(body: HttpBody, limits: &LimitsInForce) -> Result<Bytes> {
    let limits = limits.get();
    let arrived = timeout(limits.api_patience.0, read(body, limits.api_body.0 as usize)).await;
    arrived.unwrap_or_else(|_| {
        Err(ErrorAnswer::unavailable(
            "the body did not come in time (limits.api_patience): send the request again",
        ))
    })
}

/// A whole body.
///
/// # Errors
/// 413 if it is too large, 400 if it breaks off.
pub(super) async fn read(body: HttpBody, limit_bytes: usize) -> Result<Bytes> {
    to_bytes(body, limit_bytes).await.map_err(|error| {
        let too_long = std::error::Error::source(&error).is_some_and(|cause| cause.is::<LengthLimitError>());
        if too_long {
            ErrorAnswer::too_large(limit_bytes)
        } else {
            ErrorAnswer::malformed("the body broke off")
        }
    })
}

static CHECKERS: LazyLock<RwLock<HashMap<String, Arc<Checker>>>> = LazyLock::new(RwLock::default);

/// Every wrong field of `body` by the component schema of `T`.
///
/// # Errors
/// Only if a schema of the gateway does not compile.
pub(super) fn errors<T: ToSchema>(body: &Value) -> Result<Vec<FieldError>> {
    let name = T::name();
    let known = CHECKERS.read().unwrap_or_else(PoisonError::into_inner).get(name.as_ref()).cloned();
    let checker = match known {
        Some(checker) => checker,
        None => {
            let checker = Arc::new(Checker::component(&name, openapi::components())?);
            CHECKERS
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.into_owned(), checker.clone());
            checker
        }
    };
    Ok(checker.errors(body))
}

/// Reads a body that the schema has accepted.
///
/// # Errors
/// A 422 with serde's words. It covers only what a schema cannot say, such as a number that is too big.
pub(super) fn into<T: DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(body).map_err(|error| ErrorAnswer::invalid_field("", error.to_string()))
}

/// A body that the schema of `T` describes completely.
pub(super) struct Checked<T>(pub(super) T);

impl<T: ToSchema + DeserializeOwned> FromRequest<Arc<ApiState>> for Checked<T> {
    type Rejection = ErrorAnswer;

    async fn from_request(request: Request, state: &Arc<ApiState>) -> Result<Self> {
        let Json(body) = Json::from_request(request, state).await?;
        let errors = errors::<T>(&body)?;
        if errors.is_empty() { into(body).map(Self) } else { Err(ErrorAnswer::invalid(errors)) }
    }
}
