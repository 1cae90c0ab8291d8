//! The fields of a webhook as options.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Failure, input};
use vocabulary::broker::CloudEventsMode;
use vocabulary::delivery::BodyFormat;
use vocabulary::words::listed;

#[derive(Args, Serialize)]
pub(super) struct Fields {
    /// A name for people [default: the endpoint's host]
    #[arg(long)]
    name: Option<String>,
    /// Event type or pattern to send, such as 'Start*' or 'ocpp.*' (repeatable)
    #[arg(long = "event", value_name = "PATTERN")]
    events: Option<Vec<String>>,
    /// Station or pattern whose events to send, such as 'WALLBOX_*' (repeatable)
    #[arg(long = "station", value_name = "PATTERN")]
    stations: Option<Vec<String>>,
    /// The customer it belongs to: it gets only events of this owner
    #[arg(long = "owner", value_name = "OWNER")]
    owner_id: Option<String>,
    /// Members that payloads must have: a JSON object such as '{"connectorId": 1}'
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    filter: Option<Value>,
    #[arg(long, help = format!("The body's format: {}", listed(BodyFormat::WORDS)))]
    format: Option<String>,
    /// The signing secret: whsec_…; - reads it from standard input [default: a new one]
    #[arg(long, value_name = "SECRET")]
    signing_secret: Option<String>,
    /// A header whose value is --secret-value, such as Authorization
    #[arg(long, value_name = "NAME")]
    secret_header: Option<String>,
    /// The value of --secret-header; - reads it from standard input
    #[arg(long, value_name = "VALUE")]
    secret_value: Option<String>,
    /// A header sent with every delivery, 'Name: value' (repeatable); all of them are replaced
    #[arg(long, value_name = "HEADER", value_parser = input::header)]
    #[serde(skip)]
    header: Option<Vec<(String, String)>>,
    /// Brokers only: the subject that messages are published on, such as 'ev.{station_id}.{event}'
    #[arg(long)]
    topic: Option<String>,
    /// Brokers only: how to sign in, as JSON: username and password, token, nkey or creds; - reads a line of
    /// standard input
    #[arg(long, value_name = "JSON")]
    #[serde(skip)]
    credentials: Option<String>,
    #[arg(long, value_name = "MODE", help = format!("Brokers and --format cloudevents only: {}", listed(CloudEventsMode::WORDS)))]
    cloudevents_mode: Option<String>,
    /// The order of deliveries: none, or station for each station's strictly one after the other
    #[arg(long)]
    ordering: Option<String>,
    /// With --ordering station: how long one delivery may hold up those behind it
    #[arg(long, value_name = "DURATION")]
    ordering_max_wait: Option<String>,
    /// How long an attempt may take, 100ms to 60s
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// The waits between attempts, such as 30s,1m,5m; as many retries as entries
    #[arg(long, value_name = "DURATIONS", value_delimiter = ',')]
    retry_schedule: Option<Vec<String>>,
    /// Requests that may be under way at once, 1 to 1000
    #[arg(long, value_name = "N")]
    max_in_flight: Option<u32>,
    /// The rate limit, such as 10/s or 600/m
    #[arg(long, value_name = "RATE")]
    rate_limit: Option<String>,
    /// Whether it is enabled; false discards waiting and later deliveries
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// Sends a test event first, and fails unless the endpoint accepts it
    #[arg(long, num_args = 0, default_missing_value = "true")]
    verify: Option<bool>,
}

impl Fields {
    /// The body of a call that creates or changes a webhook.
    pub(super) fn body(
        mut self,
        url: Option<String>,
        clear: &[String],
    ) -> Result<Map<String, Value>, Failure> {
        self.signing_secret = input::secret(self.signing_secret)?;
        self.secret_value = input::secret(self.secret_value)?;
        let credentials = input::secret(self.credentials.take())?;
        let mut body = input::body(&self, clear);
        if let Some(credentials) = credentials {
            // What is no JSON goes as a text: the gateway's answer says what is expected.
            let credentials = serde_json::from_str(&credentials).unwrap_or(Value::String(credentials));
            body.insert("credentials".to_owned(), credentials);
        }
        body.extend(url.map(|url| ("url".to_owned(), url.into())));
        if let Some(headers) = self.header {
            let headers: BTreeMap<String, String> = headers.into_iter().collect();
            body.insert("custom_headers".to_owned(), serde_json::json!(headers));
        }
        Ok(body)
    }
}
