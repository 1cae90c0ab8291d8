//! A page as a handler returns it.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use maud::{Markup, Render, html};

use super::components::layout::{self, Frame, Section};
use super::failure::Failure;
use super::flash;
use super::session::Session;
use crate::client::ClientError;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;

/// What a handler of a page returns.
pub(super) type Answer = Result<Page, Failure>;

/// What a handler of a form returns.
pub(super) type Posted = Result<Response, Failure>;

/// A page within the frame.
pub(super) struct Page {
    frame: Frame,
    section: Option<Section>,
    title: String,
    beside_title: Markup,
    live: bool,
    status: StatusCode,
    body: Markup,
}

impl Page {
    /// A page with a place in the navigation.
    pub(super) fn new(session: &Session, section: Section, title: impl Into<String>, body: Markup) -> Self {
        Self {
            frame: session.frame(),
            section: Some(section),
            title: title.into(),
            beside_title: html! {},
            live: false,
            status: StatusCode::OK,
            body,
        }
    }

    /// With something beside its title: chips, buttons.
    pub(super) fn beside_title(self, markup: impl Render) -> Self {
        Self { beside_title: markup.render(), ..self }
    }

    /// With parts that are refetched while it is open: elements with an id and `data-live`.
    pub(super) fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// With what is wrong in its form or its filters.
    pub(super) fn invalid(self) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..self }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let Self { frame, section, title, beside_title, live, status, body } = self;
        let wrong = status != StatusCode::OK;
        let html = layout::page(&frame, section, &title, &beside_title, live && !wrong, wrong, &body);
        let mut response = (status, Html(html.into_string())).into_response();
        if frame.message.is_some()
            && let Ok(cleared) = flash::clear().parse()
        {
            response.headers_mut().append(SET_COOKIE, cleared);
        }
        response
    }
}

/// The rows of a list, or what is wrong with its filters: then there are none.
///
/// # Errors
/// Whatever else keeps the API from answering.
pub(super) fn rows<T>(listed: Result<Rows<T>, ClientError>) -> Result<(Rows<T>, Vec<FieldError>), Failure> {
    match listed {
        Ok(rows) => Ok((rows, Vec::new())),
        Err(ClientError::Refused(problem)) if problem.status == 422 => {
            Ok((Rows { data: Vec::new(), next_cursor: None }, problem.errors))
        }
        Err(error) => Err(error.into()),
    }
}

/// What there is, or `None` if the API does not know it or the key may not see it. For parts of a page that
/// do without.
///
/// # Errors
/// Whatever else keeps the API from answering.
pub(super) fn optional<T>(answered: Result<T, ClientError>) -> Result<Option<T>, Failure> {
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Refused(problem)) if matches!(problem.status, 403 | 404 | 410) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
