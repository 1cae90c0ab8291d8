//! What messages are published on: a template that an event fills in.

use crate::broker_url::Protocol;
use vocabulary::event::Event;

/// Stands for null, and for each character that the protocol reserves.
const STAND_IN: char = '_';

/// A topic with placeholders such as `{station_id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    protocol: Protocol,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    StationId,
    Event,
    Category,
    OwnerId,
}

const FIELDS: [(&str, Field); 4] = [
    ("station_id", Field::StationId),
    ("event", Field::Event),
    ("category", Field::Category),
    ("owner_id", Field::OwnerId),
];

impl Field {
    fn of(self, event: &Event) -> Option<&str> {
        match self {
            Self::StationId => event.station_id.as_deref(),
            Self::Event => Some(&event.event),
            Self::Category => Some(event.category.as_str()),
            Self::OwnerId => event.owner_id.as_deref(),
        }
    }
}

impl TopicTemplate {
    /// Reads a template for messages of this protocol.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or("has a { without its }")?;
            let (_, field) = FIELDS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                let known = FIELDS.map(|(known, _)| format!("{{{known}}}")).join(", ");
                format!("{{{name}}} is no placeholder: there are {known}")
            })?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Field(*field)]);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        if pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.contains('}'))) {
            return Err("has a } without its {".to_owned());
        }
        let template = Self { protocol, pieces };
        template.check(&template.filled(|_| Some("x")))?;
        Ok(template)
    }

    /// The topic of this event.
    pub fn of(&self, event: &Event) -> String {
        self.filled(|field| field.of(event))
    }

    fn filled<'e>(&self, value: impl Fn(Field) -> Option<&'e str>) -> String {
        let mut topic = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => topic.push_str(text),
                Piece::Field(field) => match value(*field).filter(|value| !value.is_empty()) {
                    Some(value) => topic.extend(value.chars().map(|c| self.safe(c))),
                    None => topic.push(STAND_IN),
                },
            }
        }
        topic
    }

    /// The character, unless it means something to the protocol.
    fn safe(&self, c: char) -> char {
        let reserved = match self.protocol {
            Protocol::Nats => matches!(c, '.' | '*' | '>'),
        };
        if reserved || c.is_whitespace() || c.is_control() { STAND_IN } else { c }
    }

    /// Whether the protocol takes what is written between the placeholders.
    fn check(&self, filled: &str) -> Result<(), String> {
        if filled.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("may have no blanks".to_owned());
        }
        match self.protocol {
            Protocol::Nats if filled.contains(['*', '>']) => {
                Err("may have no wildcards (* and >): a message has one subject".to_owned())
            }
            Protocol::Nats if filled.split('.').any(str::is_empty) => {
                Err("is no subject: there must be something before, between and behind its dots".to_owned())
            }
            Protocol::Nats if filled.starts_with('$') => {
                Err("may not begin with $: such subjects are the server's own".to_owned())
            }
            Protocol::Nats => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{ping, start_transaction};

    fn nats(text: &str) -> Result<TopicTemplate, String> {
        TopicTemplate::parse(text, Protocol::Nats)
    }

    #[test]
    fn placeholders_become_what_the_event_has() {
        let event = start_transaction();
        for (template, topic) in [
            ("ev.{station_id}.{event}", "ev.WALLBOX_1-\"a\".StartTransaction"),
            ("{category}-{owner_id}", "ocpp-acme"),
            ("plain", "plain"),
        ] {
            assert_eq!(nats(template).expect(template).of(&event), topic);
        }
    }

    #[test]
    fn null_and_what_subjects_reserve_becomes_an_underscore() {
        let mut event = ping();
        event.event = "invoice.paid".to_owned();
        assert_eq!(nats("ev.{station_id}.{event}").expect("reads").of(&event), "ev._.invoice_paid");
        event.station_id = Some("a.b*c>d e\tf\u{85}g".to_owned());
        event.owner_id = Some(String::new());
        assert_eq!(nats("{station_id}.{owner_id}").expect("reads").of(&event), "a_b_c_d_e_f_g._");
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for (template, words) in [
            ("ev.{station}", "{station} is no placeholder: there are {station_id}, {event}"),
            ("ev.{event", "a { without its }"),
            ("ev.event}", "a } without its {"),
            ("ev.*", "no wildcards"),
            ("ev.>", "no wildcards"),
            ("ev..{event}", "is no subject"),
            (".ev", "is no subject"),
            ("ev.", "is no subject"),
            ("ev {event}", "no blanks"),
            ("ev\r\nPUB", "no blanks"),
            ("$JS.API.STREAM.DELETE.{event}", "may not begin with $"),
        ] {
            let error = nats(template).expect_err(template);
            assert!(error.contains(words), "{template}: {error}");
        }
    }
}
