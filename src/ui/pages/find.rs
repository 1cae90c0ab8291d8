//! The search box of every page: leads to the one thing that was named, or to events with these words.

use axum::response::{IntoResponse, Redirect, Response};

use crate::ui::failure::Failure;
use crate::ui::links;
use crate::ui::page::optional;
use crate::ui::query::Query;
use crate::ui::session::Session;

/// Leads to what `q` names.
pub(in crate::ui) async fn find(session: Session, query: Query) -> Result<Response, Failure> {
    let to = destination(&session, query.get("q").map(str::trim).unwrap_or_default()).await?;
    Ok(Redirect::to(&to).into_response())
}

async fn destination(session: &Session, text: &str) -> Result<String, Failure> {
    if text.is_empty() {
        return Ok("/ui/".to_owned());
    }
    let by_prefix = [
        ("evt_", links::event(text)),
        ("dlv_", links::delivery(text)),
        ("cmd_", links::command(text)),
        ("blk_", links::bulk_command(text)),
    ];
    if let Some((_, link)) = by_prefix.into_iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return Ok(link);
    }
    // What is named as a whole comes before what has the text somewhere in its name.
    if let Ok(number) = text.parse::<i64>()
        && optional(session.client.transaction(number).await)?.is_some()
    {
        return Ok(links::session(number));
    }
    if optional(session.client.station(text).await)?.is_some() {
        return Ok(links::station(text));
    }
    let at_site = session.client.stations(&[("site", text), ("limit", "1")]).await;
    if at_site.is_ok_and(|found| !found.data.is_empty()) {
        return Ok(format!("/ui/stations?site={}", links::encoded(text)));
    }
    if optional(session.client.id_tag(text, None).await)?.is_some() {
        return Ok(links::tag(text));
    }
    let stations = session.client.stations(&[("q", text), ("limit", "2")]).await;
    match stations.map(|found| found.data).unwrap_or_default().as_slice() {
        [only] => return Ok(links::station(&only.station_id)),
        [_, _] => return Ok(format!("/ui/stations?q={}", links::encoded(text))),
        _ => {}
    }
    let webhooks = session.client.webhooks(&[("q", text), ("limit", "50")]).await;
    let mut named = webhooks.map(|found| found.data).unwrap_or_default();
    // A word that is only part of an address is rather looked for in payloads.
    let name_part = text.to_lowercase();
    named.retain(|webhook| text.contains("://") || webhook.name.to_lowercase().contains(&name_part));
    match named.as_slice() {
        [] => {}
        [only] => return Ok(links::webhook(only.id)),
        [_, _, ..] => return Ok(format!("/ui/webhooks?q={}", links::encoded(text))),
    }
    Ok(format!("/ui/events?q={}", links::encoded(text)))
}
