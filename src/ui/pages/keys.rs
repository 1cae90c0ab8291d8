//! API keys: listed, created and revoked. A key is shown once, in the answer that makes it.

use axum::extract::Path;
use axum::response::IntoResponse;
use maud::{Markup, html};

use crate::client::ClientError;
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, table, time};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::session::Session;
use vocabulary::api::access::{ApiKey, ApiKeyInput};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;
use vocabulary::units::Span;

const PATH: &str = "/ui/keys";

/// The fields of the form.
const NAMES: [&str; 4] = ["name", "scopes", "owner_id", "expires_at"];

/// What a form may be filled with at first.
const FIRST: [(&str, &str); 1] = [("scopes", "read")];

/// The keys.
pub(in crate::ui) async fn list(session: Session) -> Answer {
    let first =
        |name: &str| FIRST.iter().find(|(field, _)| *field == name).map(|(_, text)| (*text).to_owned());
    page(&session, None, &Fields::new(&first, &[])).await
}

/// Creates a key, and shows it.
pub(in crate::ui) async fn create(session: Session, form: Form) -> Posted {
    let values = |name: &str| form.get(name).map(str::to_owned);
    let made = match input(&form, session.now) {
        Ok(input) => session.client.create_api_key(&input).await,
        Err(error) => {
            return Ok(page(&session, None, &Fields::new(&values, &[error]))
                .await?
                .invalid()
                .into_response());
        }
    };
    match made {
        Ok(key) => {
            let empty = |_: &str| None;
            Ok(page(&session, Some(&key), &Fields::new(&empty, &[])).await?.into_response())
        }
        Err(ClientError::Refused(problem)) if problem.status == 422 => {
            let fields = Fields::new(&values, &problem.errors);
            Ok(page(&session, None, &fields).await?.invalid().into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Revokes a key.
pub(in crate::ui) async fn revoke(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id: ApiKeyId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let made = session.client.revoke_api_key(id).await;
    session.outcome(made, PATH, |()| "The key is revoked.".to_owned())
}

/// What the form says.
///
/// # Errors
/// If the end is neither a time nor a duration.
fn input(form: &Form, now: Timestamp) -> Result<ApiKeyInput, FieldError> {
    let scopes = form.get("scopes").unwrap_or_default().split([',', ' ', '\n', '\r']);
    let expires_at = match form.get("expires_at") {
        None => None,
        Some(text) => Some(end(text, now).ok_or_else(|| {
            FieldError::new(
                "expires_at",
                "is neither a time, such as 2027-01-31T00:00:00Z, nor a duration, such as 90d",
            )
        })?),
    };
    Ok(ApiKeyInput {
        name: form.get("name").unwrap_or_default().to_owned(),
        scopes: scopes.filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        owner_id: form.get("owner_id").map(str::to_owned),
        expires_at,
    })
}

fn end(text: &str, now: Timestamp) -> Option<Timestamp> {
    text.parse::<Span>().map(|span| now.after(span.0)).ok().or_else(|| text.parse().ok())
}

async fn page(session: &Session, made: Option<&ApiKey>, fields: &Fields<'_>) -> Answer {
    let keys = session.client.all::<ApiKey>("api-keys", &[("limit", "500")]).await?;
    Ok(Page::new(
        session,
        Section::Keys,
        "API keys",
        render(&keys, made, fields, session.token(), session.now),
    ))
}

fn render(
    keys: &[ApiKey],
    made: Option<&ApiKey>,
    fields: &Fields<'_>,
    token: &str,
    now: Timestamp,
) -> Markup {
    use card::Width::{Full, TwoThirds};
    html! {
        div.grid {
            @if let Some(key) = made.and_then(|made| made.key.as_deref()) {
                (card::card(Full, "The new key", html! {}, html! {
                    p { code { (key) } " " (action::copy(key, "Copy")) }
                    p { b { "It is shown only now." } " Keep it where secrets are kept." }
                }))
            }
            (card::card(Full, "API keys", html! {}, listed(keys, token, now)))
            (card::card(TwoThirds, "New key", html! {}, form(fields, token)))
        }
    }
}

fn form(fields: &Fields<'_>, token: &str) -> Markup {
    html! {
        form method="post" action=(PATH) {
            (action::hidden(token, &[]))
            (fields.others(&NAMES))
            (fields.text("name", "Name", "Who or what uses it"))
            (fields.text("scopes", "Scopes", "read, write, command, command:PATTERN, admin; with commas between them"))
            (fields.text("owner_id", "Owner", "Then it sees and touches nothing but this customer's: the dashboard is that customer's portal"))
            (fields.text("expires_at", "Expires", "A time, or in how long: 90d; empty is never"))
            div.buttons { button.primary { "Create" } }
        }
    }
}

fn listed(keys: &[ApiKey], token: &str, now: Timestamp) -> Markup {
    let columns = [
        table::text("Name"),
        table::text("Scopes"),
        table::minor("Owner"),
        table::text("Last used"),
        table::minor("Expires"),
        table::minor("Created"),
        table::text("Revoke"),
    ];
    let rows = keys.iter().map(|key| {
        let path = format!("{PATH}/{}/revoke", key.id);
        let warning = "Whoever uses it is refused at once. It cannot be brought back.";
        [
            html! { (key.name) },
            table::mono(key.scopes.join(", ")),
            html! { @if let Some(owner) = &key.owner_id { (owner) } },
            time::ago_or_dash(key.last_used_at, now),
            time::ago_or_dash(key.expires_at, now),
            time::ago(key.created_at, now),
            action::confirmed(token, &path, "Revoke", warning, &[]),
        ]
    });
    table::table("API keys", columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_form_says_what_the_api_takes() {
        let now = Timestamp::from_unix_ms(1_776_170_096_789);
        let read = |text: &str| input(&Form::parse(text), now);
        let given = read("name=driver-app&scopes=read%2C+command%3ARemote*&expires_at=90d").expect("legal");
        assert_eq!(given.scopes, ["read", "command:Remote*"]);
        assert_eq!(given.expires_at, Some(now.after(Duration::from_secs(90 * 86_400))));
        assert_eq!(read("name=x&expires_at=soon").expect_err("no time").field, "expires_at");
    }
}
