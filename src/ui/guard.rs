//! What every request of the dashboard passes: forms of other sites change nothing, and every answer tells
//! the browser what its page may do.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method};

use super::Dashboard;
use super::components::action::TOKEN;
use super::failure::{Failure, LOGIN};
use super::form::Form;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A page runs no code, and looks by no style, but those of our own files; it stands in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Sets the headers that every answer has.
pub(super) async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // With `no-referrer` browsers send forms with `Origin: null`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Lets a form pass if it comes from the same origin and has the token of its session. The login needs no
/// token: there is no session yet.
pub(super) async fn forms(State(ui): State<Arc<Dashboard>>, mut request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let is_login = request.uri().path() == LOGIN;
    let origin = origin(request.headers(), &ui.state.settings.api.allowed_origins);
    let is_ours = match origin {
        Origin::Same => true,
        // No browser leaves both headers out; a program that signs in may.
        Origin::Unknown => is_login,
        Origin::Other => false,
    };
    if !is_ours {
        return Failure::ForeignForm.into_response();
    }
    let session = ui.state.browser_sessions.of(request.headers(), ui.state.clock.now());
    let (parts, body) = request.into_parts();
    let limit = usize::try_from(ui.state.limits.get().api_body.0).unwrap_or(usize::MAX);
    let Ok(body) = to_bytes(body, limit).await else {
        return http::StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let form = Form::parse(&String::from_utf8_lossy(&body));
    if !is_login {
        let Some(session) = session else { return Failure::SignIn { next: None }.into_response() };
        if !session.fits(form.get(TOKEN).unwrap_or_default()) {
            return Failure::ForeignForm.into_response();
        }
    }
    request = Request::from_parts(parts, body.into());
    request.extensions_mut().insert(form);
    next.run(request).await
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Same,
    Other,
    Unknown,
}

/// The origin of a request: its `Origin`, or without one `Sec-Fetch-Site`. The same is the host that was
/// asked, or one of `allowed`.
fn origin(headers: &HeaderMap, allowed: &[String]) -> Origin {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    match (text(&ORIGIN), text(&FETCH_SITE)) {
        (Some(origin), _) if allowed.iter().any(|one| one == origin) => Origin::Same,
        (Some(origin), _) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            let is_same = authority.is_some() && authority == text(&HOST);
            if is_same { Origin::Same } else { Origin::Other }
        }
        (None, Some("same-origin")) => Origin::Same,
        (None, Some(_)) => Origin::Other,
        (None, None) => Origin::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_forms_of_this_host_and_of_named_origins_pass() {
        let from = |lines: &[(HeaderName, &str)]| {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("gw.example:8080"))]);
            for (name, value) in lines {
                headers.insert(name.clone(), HeaderValue::from_str(value).expect("legal"));
            }
            origin(&headers, &["https://front.example".to_owned()])
        };
        for (lines, expected) in [
            (&[][..], Origin::Unknown),
            (&[(ORIGIN, "http://gw.example:8080")], Origin::Same),
            (&[(ORIGIN, "https://front.example")], Origin::Same),
            (&[(ORIGIN, "http://front.example")], Origin::Other),
            (&[(ORIGIN, "http://gw.example")], Origin::Other),
            (&[(ORIGIN, "null")], Origin::Other),
            (&[(ORIGIN, "gw.example:8080")], Origin::Other),
            (&[(ORIGIN, "https://evil.example"), (FETCH_SITE, "same-origin")], Origin::Other),
            (&[(FETCH_SITE, "same-origin")], Origin::Same),
            (&[(FETCH_SITE, "same-site")], Origin::Other),
            (&[(FETCH_SITE, "cross-site")], Origin::Other),
            (&[(FETCH_SITE, "none")], Origin::Other),
        ] {
            assert_eq!(from(lines), expected, "{lines:?}");
        }
    }
}
