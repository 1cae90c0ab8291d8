//! Lists as CSV: one layer for all of them.
//!
//! Which operations are lists, and which columns they have, is read from the OpenAPI document. The layer runs
//! the operation page after page and writes the rows as they come, so a file costs the gateway no more memory
//! than a page. **Invariant**: a file that ended well is whole; if a page fails, the connection is cut off.

mod accept;
mod cells;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use csv::Writer;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, LINK};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::{error, warn};
use url::form_urlencoded;

use super::auth::{self, Caller};
use super::csv_columns::{Sheet, names};
use super::problem::ErrorAnswer;
use super::serve::Endless;
use super::stream_places::Place;
use super::{ApiState, REQUEST_TIMEOUT, openapi};
use cells::{Unwritable, write_row};
use vocabulary::api::LIMIT_MAX;
use vocabulary::log_limit::limited;

/// The tables of all lists, by their path in the document.
static SHEETS: LazyLock<HashMap<String, Sheet>> = LazyLock::new(|| {
    let document = openapi::document();
    let lists = openapi::operations(document).filter(|(method, ..)| method == Method::GET);
    lists
        .filter_map(|(_, path, operation)| Some((path.to_owned(), Sheet::of(operation, document)?)))
        .collect()
});

/// Answers a list as a CSV to a client that prefers that. Everything else passes.
pub(super) async fn answer(
    State(state): State<Arc<ApiState>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let sheet = matched.filter(|_| is_read).and_then(|path| SHEETS.get(path.as_str()));
    let (Some(sheet), Some(caller), true) =
        (sheet, request.extensions().get::<Caller>().cloned(), accept::prefers_csv(request.headers()))
    else {
        return next.run(request).await;
    };
    let list = List::new(next, sheet, request.into_parts().0);
    list.answer(state, caller).await
}

/// A list that is asked for as a CSV.
struct List {
    sheet: &'static Sheet,
    /// The request, as it is repeated for each page.
    parts: Parts,
    next: Next,
}

/// A page, as lines of a CSV.
struct Lines {
    text: Vec<u8>,
    next_cursor: Option<String>,
}

/// A page as the operation answers it.
#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    next_cursor: Option<String>,
}

impl List {
    fn new(next: Next, sheet: &'static Sheet, mut parts: Parts) -> Self {
        parts.method = Method::GET;
        // The operation itself answers JSON.
        parts.headers.remove(ACCEPT);
        Self { sheet, parts, next }
    }

    /// A page if `limit` is given, else the whole list.
    async fn answer(self, state: Arc<ApiState>, caller: Caller) -> Response {
        let query = self.parts.uri.query().unwrap_or_default().to_owned();
        let one_page = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "limit");
        let first = match one_page || !self.sheet.is_paged {
            true => query.clone(),
            // Added to what was given, whose faults are for the operation to name.
            false => format!("{query}{}limit={LIMIT_MAX}", if query.is_empty() { "" } else { "&" }),
        };
        let Lines { text, next_cursor } = match self.page(&first, true).await {
            Ok(lines) => lines,
            Err(other) => return *other,
        };
        let mut response = match &next_cursor {
            Some(cursor) if !one_page => match Place::take(&state) {
                Ok(place) => {
                    let cursor = Some(cursor.clone());
                    let export = Export { list: self, state, caller, query, cursor, _place: place };
                    return export.answer(text.into());
                }
                Err(full) => return full.into_response(),
            },
            _ => Body::from(text).into_response(),
        };
        self.name(&mut response);
        let link = next_cursor.map(|cursor| {
            let query = replaced(&query, &["cursor"], &[("cursor", &cursor)]);
            format!("<{}?{query}>; rel=\"next\"", self.parts.uri.path())
        });
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
            response.headers_mut().insert(LINK, link);
        }
        response
    }

    /// The lines of a page, or the operation's answer if that is none.
    async fn page(&self, query: &str, is_first: bool) -> Result<Lines, Box<Response>> {
        let mut parts = self.parts.clone();
        let uri = format!("{}?{query}", parts.uri.path()).parse::<Uri>();
        parts.uri = uri.map_err(|_| Box::new(ErrorAnswer::internal().into_response()))?;
        let response = self.next.clone().run(Request::from_parts(parts, Body::empty())).await;
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if response.status() != StatusCode::OK || !is_json {
            return Err(Box::new(response));
        }
        let lines = match axum::body::to_bytes(response.into_body(), usize::MAX).await {
            Ok(json) => self.lines(&json, is_first).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        lines.map_err(|cause| {
            error!("a list could not be written as a CSV: {cause}");
            Box::new(ErrorAnswer::internal().into_response())
        })
    }

    fn lines(&self, json: &[u8], is_first: bool) -> Result<Lines, Unwritable> {
        let page: RawPage<'_> = serde_json::from_slice(json)?;
        let mut lines = Writer::from_writer(Vec::with_capacity(json.len()));
        let groups = self.groups();
        let columns = self.sheet.columns_with(|field| groups.contains(field));
        if is_first {
            lines.write_record(names(columns.iter().copied()))?;
        }
        for row in page.data {
            write_row(&mut lines, &columns, row)?;
        }
        // Into memory, which takes everything.
        let text = lines.into_inner().unwrap_or_default();
        Ok(Lines { text, next_cursor: page.next_cursor })
    }

    /// The fields that rows are grouped by, as they were asked for: whatever rows come, or none.
    fn groups(&self) -> HashSet<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == "group_by")
            .flat_map(|(_, by)| by.split(',').map(|by| by.trim().to_owned()).collect::<Vec<_>>())
            .flat_map(|by| [format!("{by}_id"), by])
            .collect()
    }

    /// Says what the body is, and what a file of it may be called: `stations-CP_1-messages.csv`.
    fn name(&self, response: &mut Response) {
        let path = self.parts.uri.path().strip_prefix(super::BASE).unwrap_or_default();
        let path = percent_decode_str(path.trim_matches('/')).decode_utf8_lossy().replace('/', "-");
        let harmless = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = path.chars().map(harmless).collect();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
        if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{name}.csv\"")) {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
    }
}

/// A list of several pages, on its way.
struct Export {
    list: List,
    state: Arc<ApiState>,
    caller: Caller,
    /// The query of the request.
    query: String,
    /// Where the next page begins; `None` behind the last one.
    cursor: Option<String>,
    /// It counts as a stream: its key's rate is for requests, of which it is one.
    _place: Place,
}

impl Export {
    /// An answer that begins with `first`.
    fn answer(self, first: Bytes) -> Response {
        let mut response = Response::default();
        self.list.name(&mut response);
        let body = stream::unfold((Some(first), Some(self)), |(ready, export)| async move {
            if let Some(ready) = ready {
                return Some((Ok(ready), (None, export)));
            }
            let mut export = export?;
            match export.next().await {
                Ok(Some(lines)) => Some((Ok(lines), (None, Some(export)))),
                Ok(None) => None,
                Err(cause) => Some((Err(cause), (None, None))),
            }
        });
        *response.body_mut() = Body::from_stream(body);
        // A stop does not wait for it: the client sees that it was cut off.
        response.extensions_mut().insert(Endless);
        response
    }

    /// The lines of the next page; `None` behind the last one.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        if self.state.stop.is_cancelled() {
            return Err(io::Error::other("the gateway is stopping"));
        }
        if !auth::still_good(&self.state, &self.caller).await {
            return Err(io::Error::other("its API key is not valid any more"));
        }
        // The first page has waited, if it was to.
        let limit = LIMIT_MAX.to_string();
        let query = replaced(&self.query, &["cursor", "wait"], &[("limit", &limit), ("cursor", &cursor)]);
        match tokio::time::timeout(REQUEST_TIMEOUT, self.list.page(&query, false)).await {
            Ok(Ok(lines)) => {
                self.cursor = lines.next_cursor;
                Ok(Some(lines.text.into()))
            }
            Ok(Err(other)) => {
                let (path, status) = (self.list.parts.uri.path(), other.status().as_u16());
                limited!(warn: "the CSV of {path} was cut off: its next page was answered {status}");
                Err(io::Error::other("a page failed"))
            }
            Err(_) => Err(io::Error::other("a page took too long")),
        }
    }
}

/// The query with other parameters in place of those that are named.
fn replaced(query: &str, without: &[&str], with: &[(&str, &str)]) -> String {
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !without.contains(&name.as_ref()));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).extend_pairs(with).finish()
}
