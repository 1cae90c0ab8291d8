//! Id tags: listed, registered and deleted, and why one is refused.

use axum::response::IntoResponse;
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::client::ClientError;
use crate::ui::components::fields::Fields;
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, chip, empty, table, time, why};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, optional, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::id_tag::{IdTag, TagStatus};
use vocabulary::api::problem::FieldError;
use vocabulary::api::why::Why;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/tags";

/// The filters of the page: parameters of `GET /id-tags`.
const FILTERS: &[&str] = &["owner_id", "status"];

/// The fields of the form.
const NAMES: [&str; 7] =
    ["id_tag", "status", "owner_id", "expiry_date", "parent_id_tag", "max_active_transactions", "note"];

/// What the page shows beside its form.
struct View {
    found: Rows<IdTag>,
    /// What is wrong with the filters.
    errors: Vec<FieldError>,
    /// Why the tag that is looked for is, or is not, let in.
    why: Option<Why>,
}

/// The id tags.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let empty = |_: &str| None;
    page(&session, &query, &Fields::new(&empty, &[])).await
}

/// Registers a tag, or changes one.
pub(in crate::ui) async fn put(session: Session, form: Form) -> Posted {
    let values = |name: &str| form.get(name).map(str::to_owned);
    let Some(tag) = form.get("id_tag") else {
        let missing = [FieldError::new("id_tag", "is missing")];
        return Ok(page(&session, &Query::default(), &Fields::new(&values, &missing))
            .await?
            .invalid()
            .into_response());
    };
    match session.client.put_id_tag(tag, form.get("owner_id"), &body(&form)).await {
        Ok(tag) => Ok(session.done(&links::tag(&tag.id_tag), format!("{} is registered.", tag.id_tag))),
        Err(ClientError::Refused(problem)) if problem.status == 422 => {
            let fields = Fields::new(&values, &problem.errors);
            Ok(page(&session, &Query::default(), &fields).await?.invalid().into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes a tag.
pub(in crate::ui) async fn delete(session: Session, form: Form) -> Posted {
    let tag = form.get("id_tag").unwrap_or_default();
    let made = session.client.delete_id_tag(tag, form.get("owner_id")).await;
    session.outcome(made, PATH, |()| format!("{tag} is deleted."))
}

fn body(form: &Form) -> Map<String, Value> {
    let mut body = form.texts(&["owner_id", "expiry_date", "parent_id_tag", "note"]);
    if let Some(status) = form.get("status") {
        body.insert("status".to_owned(), status.into());
    }
    if let Some(number) = form.get("max_active_transactions") {
        let value = number.parse::<u64>().map_or_else(|_| Value::from(number), Value::from);
        body.insert("max_active_transactions".to_owned(), value);
    }
    body
}

async fn page(session: &Session, query: &Query, fields: &Fields<'_>) -> Answer {
    let (found, errors) = found(session, query).await?;
    let whose: Vec<_> = query.get("owner_id").map(|owner| ("owner_id", owner)).into_iter().collect();
    let why = match query.get("q") {
        Some(tag) => optional(session.client.why_id_tag(tag, &whose).await)?,
        None => None,
    };
    let view = View { found, errors, why };
    let token = session.identity.may("write").then(|| session.token());
    let body = render(query, &view, fields, token, session.now);
    let page = Page::new(session, Section::Tags, "Id tags", body).live();
    Ok(if view.errors.is_empty() { page } else { page.invalid() })
}

/// The one tag that is looked for, or the list.
async fn found(session: &Session, query: &Query) -> Result<(Rows<IdTag>, Vec<FieldError>), Failure> {
    let Some(tag) = query.get("q") else {
        return rows(session.client.id_tags(&query.parameters(FILTERS)).await);
    };
    let one = optional(session.client.id_tag(tag, query.get("owner_id")).await)?;
    Ok((Rows { data: one.into_iter().collect(), next_cursor: None }, Vec::new()))
}

/// `token`: of the session's forms, if its key may register tags.
fn render(query: &Query, view: &View, fields: &Fields<'_>, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::{Full, TwoThirds};
    let words: Vec<(&str, &str)> = TagStatus::WORDS.iter().map(|word| (*word, *word)).collect();
    let filters = Filters::new(PATH, query, &view.errors)
        .search("q", "Id tag")
        .choice("status", "Status", &words)
        .text("owner_id", "Owner");
    let list = html! {
        @if view.found.data.is_empty() { (nothing(query, &view.errors)) }
        @else { (listed(&view.found.data, token, now)) (table::pager(PATH, query, view.found.next_cursor.as_deref())) }
    };
    html! {
        (filters.render())
        div.grid {
            @if let Some(answer) = &view.why {
                (card::live_card("why", Full, "How it is", why::verdict(answer.verdict), why::why(answer, now)))
            }
            (card::live_card("tags", Full, "Id tags", table::csv_link("id-tags", query), list))
            @if let Some(token) = token { (card::card(TwoThirds, "Register a tag, or change one", html! {}, form(fields, &words, token))) }
        }
    }
}

fn nothing(query: &Query, errors: &[FieldError]) -> Markup {
    match query.has_any(FILTERS) || query.has_any(&["q", "cursor"]) || !errors.is_empty() {
        true => empty::nothing_fits(PATH, errors),
        false => empty::empty(
            "No id tag is registered.",
            html! { "Register one below, or many: " (empty::shell_command("chargehook id-tags import tags.csv")) },
        ),
    }
}

fn form(fields: &Fields<'_>, words: &[(&str, &str)], token: &str) -> Markup {
    html! {
        form method="post" action=(PATH) {
            (action::hidden(token, &[]))
            (fields.others(&NAMES))
            (fields.text("id_tag", "Id tag", "As drivers hold it out; letter case does not matter"))
            (fields.choice("status", "Status", "", words))
            (fields.text("owner_id", "Owner", "Only this customer's stations know it"))
            details.more {
                summary { "More" }
                (fields.text("expiry_date", "Expires", "A time, such as 2027-01-31T00:00:00Z"))
                (fields.text("parent_id_tag", "Group", "Tags of one group may end each other's sessions"))
                (fields.text("max_active_transactions", "Sessions at once", "Empty is no limit"))
                (fields.text("note", "Note", "For people"))
            }
            div.buttons { button.primary { "Save" } }
        }
    }
}

fn listed(rows: &[IdTag], token: Option<&str>, now: Timestamp) -> Markup {
    let columns = [
        table::text("Id tag"),
        table::text("Status"),
        table::number("Active sessions"),
        table::minor("Owner"),
        table::minor("Note"),
        table::minor("Changed"),
        table::text("Delete"),
    ];
    let rows = rows.iter().map(|tag| {
        [
            table::link(&links::tag(&tag.id_tag), &tag.id_tag),
            status(tag, now),
            html! { a href={ "/ui/sessions?status=active&id_tag=" (links::encoded(&tag.id_tag)) } { (tag.active_transactions) } },
            html! { @if let Some(owner) = &tag.owner_id { (owner) } },
            html! { @if let Some(note) = &tag.note { (note) } },
            time::ago(tag.updated_at, now),
            html! { @if let Some(token) = token { (delete_button(tag, token)) } },
        ]
    });
    table::table("Id tags", columns, rows)
}

fn delete_button(tag: &IdTag, token: &str) -> Markup {
    let mut fields = vec![("id_tag", tag.id_tag.as_str())];
    fields.extend(tag.owner_id.as_deref().map(|owner| ("owner_id", owner)));
    action::confirmed(
        token,
        "/ui/tags/delete",
        "Delete",
        "It becomes an unknown tag. Sessions that it runs go on.",
        &fields,
    )
}

/// What it is worth now: its time may be over.
fn status(tag: &IdTag, now: Timestamp) -> Markup {
    let is_over = tag.expiry_date.is_some_and(|end| end <= now);
    match tag.status {
        TagStatus::Accepted if !is_over => chip::chip(chip::Tone::Ok, tag.status.as_str()),
        TagStatus::Accepted => chip::chip(chip::Tone::Warn, TagStatus::Expired.as_str()),
        TagStatus::Expired => chip::chip(chip::Tone::Warn, tag.status.as_str()),
        TagStatus::Blocked | TagStatus::Invalid => chip::chip(chip::Tone::Bad, tag.status.as_str()),
    }
}
