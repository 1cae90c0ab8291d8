//! Why there is no page: what the API says of it, as a page for people.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use maud::{Markup, html};

use super::components::layout;
use crate::client::ClientError;
use vocabulary::api::problem::Problem;

/// Where one signs in.
pub(super) const LOGIN: &str = "/ui/login";

/// Why a request has no page.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nobody has signed in, or the key is valid no longer: the login leads back to `next`.
    SignIn {
        /// The path and query that was asked for.
        next: Option<String>,
    },
    /// The API refuses, and says why.
    Refused(Box<Problem>),
    /// No page has this address.
    UnknownPath,
    /// A form of another site, or of a session before this one.
    ForeignForm,
    /// The gateway itself failed.
    Broken(String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => (*problem).into(),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        match problem.status {
            401 => Self::SignIn { next: None },
            _ => Self::Refused(Box::new(problem)),
        }
    }
}

/// A redirect to the login, which leads back to `next`.
fn to_login(next: Option<&str>) -> Response {
    let location = match next {
        Some(next) => {
            let query =
                url::form_urlencoded::Serializer::new(String::new()).append_pair("next", next).finish();
            format!("{LOGIN}?{query}")
        }
        None => LOGIN.to_owned(),
    };
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn { next } => to_login(next.as_deref()),
            Self::Refused(problem) => {
                let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_GATEWAY);
                let title = if status == StatusCode::NOT_FOUND { "Not found" } else { &problem.title };
                answer(status, title, &of(&problem))
            }
            Self::UnknownPath => {
                answer(StatusCode::NOT_FOUND, "Not found", &html! { p { "No page has this address." } })
            }
            Self::ForeignForm => answer(
                StatusCode::FORBIDDEN,
                "Nothing was changed",
                &html! {
                    p {
                        "This form comes from another site, or from before you signed in. Open the page again, "
                        "and repeat what you did there."
                    }
                },
            ),
            Self::Broken(cause) => {
                tracing::error!("a page of the dashboard failed: {cause}");
                let words = html! { p { "The gateway could not make this page; its log says why." } };
                answer(StatusCode::INTERNAL_SERVER_ERROR, "This did not work", &words)
            }
        }
    }
}

/// What a problem says.
fn of(problem: &Problem) -> Markup {
    html! {
        @if let Some(detail) = &problem.detail { p { (sentence(detail)) } }
        @if !problem.errors.is_empty() {
            ul { @for error in &problem.errors { li { code { (error.field) } " " (error.message) } } }
        }
        @if problem.status == 403 { p { "Sign in with a key that has the scope, or ask somebody who has one." } }
    }
}

/// The detail of a problem as a sentence: it begins with a capital and ends with a full stop.
pub(super) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let begun: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if begun.ends_with(['.', '!', '?']) { begun } else { begun + "." }
}

/// What a page says of a failure: for those who have signed in it is put into the frame.
#[derive(Clone)]
pub(super) struct Words {
    pub(super) title: String,
    pub(super) body: Markup,
}

fn answer(status: StatusCode, title: &str, body: &Markup) -> Response {
    let back = html! { (body) p { a href="/ui/" { "To the overview" } } };
    let mut response = (status, Html(layout::plain(title, &back).into_string())).into_response();
    response.extensions_mut().insert(Words { title: title.to_owned(), body: body.clone() });
    response
}
