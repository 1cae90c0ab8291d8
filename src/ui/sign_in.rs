//! Signing in and out.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::{LOCATION, SET_COOKIE};
use maud::html;
use url::Url;

use super::Dashboard;
use super::components::layout;
use super::failure::{LOGIN, sentence};
use super::form::Form;
use super::query::Query;
use crate::http::serve::{Encrypted, Peer};
use crate::http::{self as api, BrowserSessions};
use vocabulary::api::problem::Problem;

/// The form; or a link that signs in once.
pub(super) async fn form(
    State(ui): State<Arc<Dashboard>>,
    peer: Option<Extension<Peer>>,
    encrypted: Option<Extension<Encrypted>>,
    query: Query,
) -> Response {
    let next = local(query.get("next"));
    let Some(once) = query.get("once") else { return page(StatusCode::OK, &next, None) };
    match ui.links.take(once, ui.state.clock.now()) {
        Some(key) => enter(&ui, &key, &next, peer, encrypted).await,
        None => {
            page(StatusCode::OK, &next, Some("This link was used, or is too old: sign in with an API key."))
        }
    }
}

/// Signs in with the field `key`, and leads to `next`.
pub(super) async fn sign_in(
    State(ui): State<Arc<Dashboard>>,
    peer: Option<Extension<Peer>>,
    encrypted: Option<Extension<Encrypted>>,
    form: Form,
) -> Response {
    let next = local(form.get("next"));
    match form.get("key").map(str::trim).filter(|key| !key.is_empty()) {
        Some(key) => enter(&ui, key, &next, peer, encrypted).await,
        None => page(StatusCode::UNPROCESSABLE_ENTITY, &next, Some("Type an API key.")),
    }
}

/// Signs out.
pub(super) async fn sign_out(encrypted: Option<Extension<Encrypted>>) -> Response {
    let cookie = cookie("", 0, encrypted.is_some());
    (StatusCode::SEE_OTHER, [(LOCATION, LOGIN.to_owned()), (SET_COOKIE, cookie)]).into_response()
}

async fn enter(
    ui: &Dashboard,
    key: &str,
    next: &str,
    peer: Option<Extension<Peer>>,
    encrypted: Option<Extension<Encrypted>>,
) -> Response {
    match api::sign_in(&ui.state, key, peer.map(|Extension(Peer(address))| address)).await {
        Ok(value) => {
            let seconds = u64::from(ui.state.settings.api.session_hours) * 3_600;
            let cookie = cookie(&value, seconds, encrypted.is_some());
            (StatusCode::SEE_OTHER, [(LOCATION, next.to_owned()), (SET_COOKIE, cookie)]).into_response()
        }
        Err(Problem { status, title, detail, .. }) => {
            let words = sentence(detail.as_deref().unwrap_or(&title));
            page(StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED), next, Some(&words))
        }
    }
}

fn cookie(value: &str, seconds: u64, encrypted: bool) -> String {
    let name = BrowserSessions::cookie_name();
    let secure = if encrypted { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Where to go after the login: a page of the dashboard, whatever was asked for.
fn local(next: Option<&str>) -> String {
    const HOME: &str = "/ui/";
    let read = || {
        let base = Url::parse("http://gateway.internal").ok()?;
        let next = next.filter(|next| next.starts_with(HOME) && !next.contains('\\'))?;
        let url = base.join(next).ok().filter(|url| url.origin() == base.origin())?;
        let is_page = url.path().starts_with(HOME) && url.path() != LOGIN;
        is_page.then(|| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
    };
    read().unwrap_or_else(|| HOME.to_owned())
}

fn page(status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    let body = html! {
        form.login method="post" action=(LOGIN) {
            input type="hidden" name="next" value=(next);
            // For password managers.
            input type="text" name="username" autocomplete="username" value="chargehook" hidden;
            div.field {
                label for="key" { "API key" }
                input id="key" name="key" type="password" autocomplete="current-password" required autofocus
                    spellcheck="false" aria-invalid=[wrong.map(|_| "true")] aria-describedby="key-help";
                div.below id="key-help" {
                    @if let Some(wrong) = wrong { span.error role="alert" { (wrong) } }
                    span.hint {
                        "It shows and does what the key may. The first key of a gateway is in the file "
                        code { "admin-key" } " of its data directory; " code { "chargehook keys create" }
                        " makes others."
                    }
                }
            }
            button.primary { "Sign in" }
        }
    };
    (status, Html(layout::plain("Sign in", &body).into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_the_dashboard_alone() {
        for good in ["/ui/", "/ui/stations?q=a%20b&cursor=x", "/ui/stations/DEPOT%2F7"] {
            assert_eq!(local(Some(good)), good);
        }
        for wrong in [
            "",
            "/",
            "/ui",
            "//evil.example/ui/",
            "https://evil.example/ui/",
            "/ui/../docs",
            "/ui/\\evil.example",
            "/api/v1/events",
            "ui/stations",
            "/ui/login",
            "/ui/login?next=/ui/",
            "javascript:alert(1)",
            "\t//x",
            "/ui/%2e%2e/docs",
        ] {
            assert_eq!(local(Some(wrong)), "/ui/", "{wrong}");
        }
        assert_eq!(local(None), "/ui/");
    }
}
