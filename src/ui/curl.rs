//! A delivery as a command that people can run: the headers and the body that the gateway sends, without its
//! secrets.

use std::collections::BTreeMap;

use outbound::body;
use outbound::headers::AttemptHeaders;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::event::Event;
use vocabulary::api::webhook::Webhook;
use vocabulary::delivery::{BodyFormat, Trigger};

/// The headers of the latest attempt, or of the first one to come; unsigned.
pub(super) fn headers(
    delivery: &Delivery,
    event: &Event,
    webhook: Option<&Webhook>,
) -> Vec<(String, String)> {
    let latest = delivery.attempts.last();
    let none = BTreeMap::new();
    let built = AttemptHeaders {
        delivery_id: delivery.id,
        event_id: event.id,
        event: &event.event,
        attempt: latest.map_or(1, |attempt| attempt.number),
        trigger: latest.map_or(Trigger::Event, |attempt| attempt.trigger),
        sequence: delivery.sequence,
        timestamp_s: latest.map_or(event.timestamp, |attempt| attempt.started_at).unix_s(),
        format: format(webhook),
        signing: &[],
        secret: None,
        webhook_headers: &none,
        event_headers: &none,
    }
    .build(&[]);
    let shown =
        built.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    shown.collect()
}

/// The command line, for a shell that knows POSIX quotes.
pub(super) fn command(url: &str, delivery: &Delivery, event: &Event, webhook: Option<&Webhook>) -> String {
    let mut line = format!("curl -i {}", quoted(url));
    for (name, value) in headers(delivery, event, webhook) {
        line.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    }
    let body = body::render(format(webhook), event);
    line.push_str(&format!(" \\\n  --data-binary {}", quoted(&String::from_utf8_lossy(&body))));
    line
}

fn format(webhook: Option<&Webhook>) -> BodyFormat {
    webhook.map_or(BodyFormat::Flat, |webhook| webhook.format)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
