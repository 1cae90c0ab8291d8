//! The language of scenarios and of the terminal: one line, one step.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::act::Act;
use vocabulary::units::Span;

/// How long an expectation waits if it does not say.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an outage lasts if it does not say.
const OUTAGE: Duration = Duration::from_secs(5);

/// Every step in a line, as `help` prints it.
pub const HELP: &str = "\
plug N                         a car is plugged in at connector N
unplug N                       it is unplugged
tag TAG [N]                    a tag is held against the reader, for connector N or where it fits
stop N [REASON]                the stop button (Other, or EmergencyStop, EVDisconnected, Local, PowerLoss)
meter N                        meter values are sent at once
fault N [CODE]                 connector N breaks (OtherError, or GroundFailure, OverCurrentFailure, …)
repair N                       it is repaired
disconnect [for 5s]            the network is gone for so long
power-loss [for 5s]            the power is gone for so long
set KEY VALUE                  a configuration key is changed at the charger
wait 5s                        time passes
expect online                  connected, and the boot was accepted
expect status N STATUS         connector N has this status
expect sent ACTION [F=V …]     a call was answered; F is a field such as reason, or answer.idTagInfo.status
expect command ACTION [F=V …]  the central system asked for it; answer.status is what it was answered
expect waiting N               N transaction messages wait to be sent
expect quiet                   everything was said and answered
                               (every expectation may end with `within 10s`; without it, 30s)
status                         how things are
help                           this list
quit                           leave";

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something is done to the charger.
    Act(Act),
    /// Nothing is, for so long.
    Wait(Duration),
    /// Something has to be so within that time.
    Expect(Expectation, Duration),
    /// Show how things are.
    Status,
    /// Show [`HELP`].
    Help,
    /// Leave.
    Quit,
}

/// What has to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Connected and accepted.
    Online,
    /// The connector has this status.
    Status(u32, String),
    /// A CALL was answered, after the one that was expected before it.
    Sent(Pattern),
    /// The central system asked for something, after what was expected before it.
    Command(Pattern),
    /// So many transaction messages wait.
    Waiting(usize),
    /// Nothing waits.
    Quiet,
}

/// A message by its action and some of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The action.
    pub action: String,
    /// Dotted path and value; a path that begins with `answer.` is one of the answer.
    fields: Vec<(String, String)>,
}

impl Pattern {
    /// Whether an exchange is one of these.
    pub fn matches(&self, action: &str, payload: &Value, answer: &Value) -> bool {
        let has = |(path, value): &(String, String)| {
            let (root, path) = match path.strip_prefix("answer.") {
                Some(path) => (answer, path),
                None => (payload, path.as_str()),
            };
            match root.pointer(&format!("/{}", path.replace('.', "/"))) {
                Some(Value::String(text)) => text == value,
                Some(other) => serde_json::from_str::<Value>(value).is_ok_and(|value| value == *other),
                None => false,
            }
        };
        self.action == action && self.fields.iter().all(has)
    }
}

/// Why a line is no step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAStep {
    /// It begins with an unknown word.
    #[error("{0:?} is no step; the steps are {list}", list = known_words())]
    Unknown(String),
    /// It begins well.
    #[error("write it like: {0}")]
    Usage(&'static str),
    /// A number that is none.
    #[error("{0:?} is not the number of a connector")]
    Connector(String),
    /// A duration that is none.
    #[error(transparent)]
    Duration(#[from] vocabulary::units::InvalidQuantity),
}

fn known_words() -> String {
    let mut words: Vec<&str> = HELP.lines().filter_map(|line| line.split(' ').next()).collect();
    words.retain(|word| !word.is_empty());
    words.dedup();
    words.join(", ")
}

/// How to write a step, by the line of [`HELP`] that explains it.
fn usage(word: &str) -> NotAStep {
    if word == "expect" {
        return NotAStep::Usage("expect online, status, sent, command, waiting or quiet (see help)");
    }
    let line = HELP.lines().find(|line| line.split(' ').next() == Some(word));
    NotAStep::Usage(line.and_then(|line| line.split("  ").next()).unwrap_or("see help"))
}

impl FromStr for Step {
    type Err = NotAStep;

    fn from_str(line: &str) -> Result<Self, NotAStep> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((&verb, rest)) = words.split_first() else { return Err(NotAStep::Unknown(String::new())) };
        let text = |text: &str| text.to_owned();
        Ok(match (verb, rest) {
            ("plug", [id]) => Self::Act(Act::Plug(connector(id)?)),
            ("unplug", [id]) => Self::Act(Act::Unplug(connector(id)?)),
            ("tag", [tag]) => Self::Act(Act::Tag { id_tag: text(tag), connector: None }),
            ("tag", [tag, id]) => Self::Act(Act::Tag { id_tag: text(tag), connector: Some(connector(id)?) }),
            ("stop", [id]) => Self::Act(Act::Stop { connector: connector(id)?, reason: text("Other") }),
            ("stop", [id, reason]) => {
                Self::Act(Act::Stop { connector: connector(id)?, reason: text(reason) })
            }
            ("meter", [id]) => Self::Act(Act::Meter(connector(id)?)),
            ("fault", [id]) => {
                Self::Act(Act::Break { connector: connector(id)?, error_code: text("OtherError") })
            }
            ("fault", [id, code]) => {
                Self::Act(Act::Break { connector: connector(id)?, error_code: text(code) })
            }
            ("repair", [id]) => Self::Act(Act::Repair(connector(id)?)),
            ("disconnect", []) => Self::Act(Act::Disconnect(OUTAGE)),
            ("disconnect", ["for", span]) => Self::Act(Act::Disconnect(duration(span)?)),
            ("power-loss", []) => Self::Act(Act::PowerLoss(OUTAGE)),
            ("power-loss", ["for", span]) => Self::Act(Act::PowerLoss(duration(span)?)),
            ("set", [key, value @ ..]) if !value.is_empty() => {
                Self::Act(Act::Set { key: text(key), value: value.join(" ") })
            }
            ("wait", [span]) => Self::Wait(duration(span)?),
            ("expect", [what @ .., "within", span]) => Self::Expect(expectation(what)?, duration(span)?),
            ("expect", what) => Self::Expect(expectation(what)?, PATIENCE),
            ("status", []) => Self::Status,
            ("help", []) => Self::Help,
            ("quit", []) => Self::Quit,
            _ if known_words().split(", ").any(|known| known == verb) => return Err(usage(verb)),
            _ => return Err(NotAStep::Unknown(text(verb))),
        })
    }
}

fn expectation(words: &[&str]) -> Result<Expectation, NotAStep> {
    Ok(match words {
        ["online"] => Expectation::Online,
        ["quiet"] => Expectation::Quiet,
        ["status", id, status] => Expectation::Status(connector(id)?, (*status).to_owned()),
        ["waiting", count] => Expectation::Waiting(count.parse().map_err(|_| usage("expect"))?),
        ["sent", action, fields @ ..] => Expectation::Sent(pattern(action, fields)?),
        ["command", action, fields @ ..] => Expectation::Command(pattern(action, fields)?),
        _ => return Err(usage("expect")),
    })
}

fn pattern(action: &str, fields: &[&str]) -> Result<Pattern, NotAStep> {
    let field = |field: &&str| {
        let (path, value) = field.split_once('=').ok_or_else(|| usage("expect"))?;
        Ok((path.to_owned(), value.to_owned()))
    };
    let fields = fields.iter().map(field).collect::<Result<_, NotAStep>>()?;
    Ok(Pattern { action: action.to_owned(), fields })
}

fn connector(text: &str) -> Result<u32, NotAStep> {
    text.parse().map_err(|_| NotAStep::Connector(text.to_owned()))
}

fn duration(text: &str) -> Result<Duration, NotAStep> {
    Ok(text.parse::<Span>()?.0)
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => f.write_str("to be connected and accepted"),
            Self::Status(id, status) => write!(f, "connector {id} to be {status}"),
            Self::Sent(pattern) => write!(f, "an answered {}", pattern.action),
            Self::Command(pattern) => write!(f, "the command {}", pattern.action),
            Self::Waiting(count) => write!(f, "{count} transaction messages to wait"),
            Self::Quiet => f.write_str("everything to be said and answered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_steps() {
        let seconds = Duration::from_secs;
        let tag = |connector| Act::Tag { id_tag: "ABC".to_owned(), connector };
        for (line, expected) in [
            ("plug 1", Step::Act(Act::Plug(1))),
            ("  tag  ABC ", Step::Act(tag(None))),
            ("tag ABC 2", Step::Act(tag(Some(2)))),
            ("disconnect for 10s", Step::Act(Act::Disconnect(seconds(10)))),
            ("power-loss", Step::Act(Act::PowerLoss(OUTAGE))),
            (
                "set CpoName Some Body",
                Step::Act(Act::Set { key: "CpoName".to_owned(), value: "Some Body".to_owned() }),
            ),
            ("wait 500ms", Step::Wait(Duration::from_millis(500))),
            ("expect online within 5s", Step::Expect(Expectation::Online, seconds(5))),
            ("expect waiting 3", Step::Expect(Expectation::Waiting(3), PATIENCE)),
            ("quit", Step::Quit),
        ] {
            assert_eq!(line.parse::<Step>(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_say_how_to_write_it() {
        for (line, words) in [
            ("plug", "write it like: plug N"),
            ("plug one", "\"one\" is not the number of a connector"),
            ("tag", "write it like: tag TAG [N]"),
            ("wait 5", "\"5\" is not a duration"),
            ("expect", "write it like: expect online, status"),
            ("expect sent Start a", "write it like: expect online, status"),
            ("dance", "\"dance\" is no step; the steps are plug, unplug, tag,"),
        ] {
            let error = line.parse::<Step>().expect_err(line).to_string();
            assert!(error.starts_with(words), "{line}: {error}");
        }
    }

    #[test]
    fn every_step_of_the_help_is_one() {
        for line in HELP.lines().filter(|line| !line.starts_with(' ')) {
            let pattern = line.split("  ").next().expect("a pattern");
            let example = pattern.replace("[F=V …]", "a=b").replace(['[', ']', '…'], "");
            let example = example.replace(" N", " 1").replace("within 10s", "");
            assert!(example.parse::<Step>().is_ok(), "{example}");
        }
    }

    #[test]
    fn patterns_look_into_request_and_answer() {
        let Ok(Step::Expect(Expectation::Sent(pattern), _)) =
            "expect sent StopTransaction reason=Local meterStop=5 answer.idTagInfo.status=Accepted".parse()
        else {
            panic!("an expectation")
        };
        let answer = json!({"idTagInfo": {"status": "Accepted"}});
        assert!(pattern.matches("StopTransaction", &json!({"reason": "Local", "meterStop": 5}), &answer));
        assert!(!pattern.matches("StopTransaction", &json!({"reason": "Local"}), &answer));
        assert!(!pattern.matches("StartTransaction", &json!({"reason": "Local", "meterStop": 5}), &answer));
    }
}
