//! Which stations are meant: the filters of their list as options.

use clap::Args;
use serde::{Serialize, Serializer};

use super::input;
use vocabulary::clock::Timestamp;

/// The filters of a list of stations.
#[derive(Args, Serialize)]
pub(super) struct StationFilter {
    /// Only those that are connected, or with =false those that are not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    connected: Option<bool>,
    /// Only those that are connected and not silent, or with =false those that are away
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    online: Option<bool>,
    /// Only those that have never been connected, or with =false those that have
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    never_connected: Option<bool>,
    /// Only this customer's
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Only those at this place
    #[arg(long)]
    site: Option<String>,
    /// The status that answers their boots: accepted, pending or rejected
    #[arg(long, value_name = "STATUS")]
    boot_status: Option<String>,
    /// Only those that are blocked, or with =false those that are not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    blocked: Option<bool>,
    /// Only this vendor's
    #[arg(long)]
    vendor: Option<String>,
    /// Only of this model
    #[arg(long)]
    model: Option<String>,
    /// Only with this firmware
    #[arg(long = "firmware", value_name = "VERSION")]
    firmware_version: Option<String>,
    /// A member of their metadata and its value, such as zone=7 (repeatable: all have to fit)
    #[arg(long, value_name = "KEY=VALUE", value_parser = member)]
    #[serde(flatten, serialize_with = "as_parameters")]
    metadata: Vec<(String, String)>,
    /// Part of their identity, name or serial number
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Created, or first connected, then or later: a time, or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    since: Option<Timestamp>,
    /// Created, or first connected, before that
    #[arg(long, value_name = "TIME", value_parser = input::moment)]
    until: Option<Timestamp>,
}

/// A member of the metadata and its value.
fn member(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write a name and a value: zone=7".to_owned()),
    }
}

/// Each member is a parameter of its own.
fn as_parameters<S: Serializer>(metadata: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(metadata.iter().map(|(key, value)| (format!("metadata.{key}"), value)))
}
