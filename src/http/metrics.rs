//! Metrics in Prometheus' text format.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use http::header::CONTENT_TYPE;

use super::ApiState;
use super::health::is_nearly_full;
use super::problem::{ErrorAnswer, Result};
use store::Histogram;
use vocabulary::api::problem::Problem;
use vocabulary::units::ByteSize;

type Text = ([(http::HeaderName, &'static str); 1], String);

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, content_type = "text/plain", body = String, description = "Prometheus' text format"),
    (status = 404, body = Problem, description = "They are on a listener of their own (`api.metrics_listen`)"),
))]
pub(super) async fn metrics(State(state): State<Arc<ApiState>>) -> Result<Text> {
    match state.settings.api.metrics_listen.is_some() {
        true => Err(ErrorAnswer::not_found("path /metrics")),
        false => Ok(prometheus_text(State(state)).await),
    }
}

/// The same, for a listener of their own.
pub(super) async fn prometheus_text(State(state): State<Arc<ApiState>>) -> Text {
    let mut text = String::with_capacity(4_096);
    stations(&mut text, &state);
    node(&mut text, &state).await;
    database(&mut text, &state).await;
    disk(&mut text, &state).await;
    events(&mut text, &state);
    call_outs(&mut text, &state);
    refused_connections(&mut text, &state);
    commits(&mut text, &state);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn stations(text: &mut String, state: &ApiState) {
    gauge(
        text,
        "chargehook_stations_connected",
        "Stations with a live connection.",
        state.stations.connected(),
    );
}

/// What this process is among the nodes of its store. Each exports itself.
async fn node(text: &mut String, state: &ApiState) {
    let node = state.store.this_node();
    let labels = format!("name=\"{}\",version=\"{}\"", escaped(&node.name), env!("CARGO_PKG_VERSION"));
    let name = "chargehook_node_info";
    let help = "1; the labels say which node this is.";
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{labels}}} 1");
    gauge(
        text,
        "chargehook_node_epoch",
        "This node's number; 0 while it was fenced and has not joined again.",
        node.epoch as u64,
    );
    gauge(
        text,
        "chargehook_node_leads",
        "1 if this node does what one does for all: retention, overdue commands, replays.",
        u64::from(node.leads),
    );
    if let Ok(lanes) = state.store.lanes_of_this_node().await {
        gauge(
            text,
            "chargehook_node_lanes",
            "Webhooks, and origins of direct URLs, whose deliveries this node sends.",
            lanes,
        );
    }
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// The size of the database.
async fn database(text: &mut String, state: &ApiState) {
    gauge(
        text,
        "chargehook_store_wal_bytes",
        "Size of the write-ahead log when last looked at.",
        state.store.statistics().wal_bytes.load(Relaxed),
    );
    if let Ok(space) = state.store.space().await {
        gauge(
            text,
            "chargehook_store_database_bytes",
            "Size of the database, the write-ahead log left out.",
            space.file_bytes(),
        );
        gauge(
            text,
            "chargehook_store_used_bytes",
            "Size of the database's pages that hold something: what retention.max_database_size limits.",
            space.used_bytes(),
        );
        if let Some(ByteSize(max_bytes)) = state.settings.retention.max_database_size {
            gauge(text, "chargehook_store_max_bytes", "What retention.max_database_size allows.", max_bytes);
            gauge(
                text,
                "chargehook_store_nearly_full",
                "1 if four fifths of what retention.max_database_size allows are used.",
                u64::from(is_nearly_full(space.used_bytes(), max_bytes)),
            );
        }
    }
}

/// The file system of the data directory.
async fn disk(text: &mut String, state: &ApiState) {
    if let Some(disk) = state.store.disk().await {
        gauge(
            text,
            "chargehook_disk_free_bytes",
            "Bytes that are free on the file system of the data directory.",
            disk.free_bytes,
        );
        gauge(
            text,
            "chargehook_disk_total_bytes",
            "Size of the file system of the data directory.",
            disk.total_bytes,
        );
        gauge(
            text,
            "chargehook_disk_nearly_full",
            "1 if fewer bytes are free there than server.warn_free_space.",
            u64::from(disk.free_bytes < state.settings.server.warn_free_space.0),
        );
    }
}

fn events(text: &mut String, state: &ApiState) {
    gauge(
        text,
        "chargehook_events_stored",
        "Events ever stored: the newest one's row.",
        state.store.tail().borrow().number() as u64,
    );
    gauge(
        text,
        "chargehook_search_events_behind",
        "Events that are not in the search index yet; a search looks through them one by one.",
        state.store.search_behind(),
    );
}

/// Questions to the authorisation endpoint.
fn call_outs(text: &mut String, state: &ApiState) {
    let call_outs = &state.call_outs;
    counters(
        text,
        "chargehook_authorization_call_outs_total",
        "Questions to the authorisation endpoint, by what came of them.",
        &[
            ("result=\"answered\"", call_outs.answered.load(Relaxed)),
            ("result=\"unanswered\"", call_outs.unanswered.load(Relaxed)),
            ("result=\"skipped\"", call_outs.skipped.load(Relaxed)),
        ],
    );
}

fn refused_connections(text: &mut String, state: &ApiState) {
    let refused = state.refused.all();
    let refused: Vec<_> = refused.iter().map(|(reason, n)| (format!("reason=\"{reason}\""), *n)).collect();
    let refused: Vec<_> = refused.iter().map(|(label, n)| (label.as_str(), *n)).collect();
    counters(
        text,
        "chargehook_connections_refused_total",
        "Connections of chargers that were refused or came to nothing, by reason.",
        &refused,
    );
}

fn commits(text: &mut String, state: &ApiState) {
    let store = state.store.statistics();
    histogram(text, "chargehook_store_batch_jobs", "Writes per commit.", &store.batch_jobs);
    histogram(
        text,
        "chargehook_store_commit_microseconds",
        "Time from taking a batch of writes to its commit.",
        &store.commit_us,
    );
}

// Writing to a String cannot fail.

fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
}

/// One counter for each set of labels.
fn counters(text: &mut String, name: &str, help: &str, counts: &[(&str, u64)]) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
    for (labels, count) in counts {
        let _ = writeln!(text, "{name}{{{labels}}} {count}");
    }
}

fn histogram(text: &mut String, name: &str, help: &str, histogram: &Histogram) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
    let mut total = 0;
    for (bound, count) in histogram.buckets() {
        total += count;
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {total}");
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {total}", histogram.sum());
}
