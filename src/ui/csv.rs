//! Lists as files for a spreadsheet. The API answers a CSV to who asks for one; a link in a page cannot ask.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};

use super::failure::Failure;
use super::query::Query;
use super::session::Session;

/// A list of the API by its path, with the filters of the query.
pub(super) async fn list(
    session: Session,
    Path(resource): Path<String>,
    query: Query,
) -> Result<Response, Failure> {
    let answer = session.client.csv(&resource, &query.all()).await?;
    let name: String = resource.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
    ];
    Ok((headers, Body::from_stream(answer.bytes_stream())).into_response())
}
