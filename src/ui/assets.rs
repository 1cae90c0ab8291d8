//! The style sheet, the script and the icon. Their names carry a hash of what is in them, so browsers may
//! keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("static/app.css");
const SCRIPT: &str = include_str!("static/app.js");
const ICON: &str = include_str!("static/icon.svg");

/// A file with its name.
struct Asset {
    path: String,
    kind: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(extension: &str, kind: &'static str, content: &'static str) -> Self {
        let hash = hex::encode(&Sha256::digest(content)[..6]);
        Self { path: format!("/ui/static/app.{hash}.{extension}"), kind, content }
    }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("css", "text/css; charset=utf-8", STYLE),
        Asset::new("js", "text/javascript; charset=utf-8", SCRIPT),
        Asset::new("svg", "image/svg+xml", ICON),
    ]
});

/// Where the style sheet is.
pub(super) fn style_path() -> &'static str {
    &ASSETS[0].path
}

/// Where the script is.
pub(super) fn script_path() -> &'static str {
    &ASSETS[1].path
}

/// Where the icon is.
pub(super) fn icon_path() -> &'static str {
    &ASSETS[2].path
}

/// One of the files. A name with the hash of an older version is unknown.
pub(super) async fn file(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|asset| asset.path.strip_prefix("/ui/static/") == Some(name.as_str())) {
        Some(asset) => {
            let headers =
                [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
