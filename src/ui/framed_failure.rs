//! Pages of failures for those who have signed in: with the navigation and the search.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use super::Dashboard;
use super::components::layout::{self, Frame};
use super::failure::Words;
use super::session::Session;

/// Puts the words of a failure into the frame of who has signed in, with the navigation and the search.
pub(super) async fn framed(State(ui): State<Arc<Dashboard>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut asked = parts.clone();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let Some(Words { title, body }) = response.extensions_mut().remove::<Words>() else { return response };
    let Ok(session) = Session::from_request_parts(&mut asked, &ui).await else { return response };
    // What was just done is told on the page that comes next.
    let frame = Frame { message: None, ..session.frame() };
    let html = layout::page(&frame, None, &title, &html! {}, false, true, &body);
    (response.status(), Html(html.into_string())).into_response()
}
