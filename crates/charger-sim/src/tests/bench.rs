//! A charger on a bench: virtual time, and a central system that answers when told to. Everything it says
//! is held against the schemas.

use std::time::Duration;

use serde_json::{Value, json};

use super::central::answer;
use crate::act::Act;
use crate::charger::{Charger, Input, Output};
use crate::connection::Endpoint;
use crate::{ChargerOptions, Notice, Sessions};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::schema::Part;
use vocabulary::ocpp::v16::schemas::SCHEMAS;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A charger on a bench: time moves when told to, and what it sends is kept.
pub(super) struct Bench {
    pub(super) charger: Charger,
    pub(super) now: Timestamp,
    /// CALLs the charger sent: id, action, payload.
    pub(super) calls: Vec<(String, String, Value)>,
    /// Answered calls at the head of `calls`.
    served: usize,
    /// Everything that went out and happened, in few words.
    pub(super) log: Vec<String>,
    /// The action of the command that was given last.
    asked: String,
}

impl Bench {
    pub(super) fn new(change: impl FnOnce(&mut ChargerOptions)) -> Self {
        let endpoint = Endpoint::parse("ws://localhost/ocpp").expect("a URL");
        let mut options = ChargerOptions::new(endpoint, StationId::new("CP").expect("an identity"));
        options.sessions = Sessions::Count(1);
        options.session_duration = 10 * MINUTE;
        options.sample_interval = MINUTE;
        options.connectors = 1;
        options.seed = Some(42);
        change(&mut options);
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        Self {
            charger: Charger::new(options, now),
            now,
            calls: Vec::new(),
            served: 0,
            log: Vec::new(),
            asked: String::new(),
        }
    }

    /// Connected, booted and with every status told.
    pub(super) fn booted(change: impl FnOnce(&mut ChargerOptions)) -> Self {
        let mut bench = Self::new(change);
        bench.tell(Input::Tick);
        bench.tell(Input::Connected);
        bench.serve();
        bench
    }

    pub(super) fn tell(&mut self, input: Input<'_>) {
        let outputs = self.charger.handle(self.now, input);
        self.take(outputs);
    }

    /// People at the charger, and the weather.
    pub(super) fn act(&mut self, act: Act) {
        let outputs = self.charger.act(self.now, &act).expect("it can be done");
        self.take(outputs);
    }

    fn take(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    if frame[0] == 2 {
                        let (id, action) = (text_of(&frame[1]), text_of(&frame[2]));
                        assert_eq!(SCHEMAS.violations(Part::Request, &action, &frame[3]), [], "{text}");
                        self.log.push(action.clone());
                        self.calls.push((id, action, frame[3].clone()));
                    } else {
                        if frame[0] == 3 {
                            assert_eq!(
                                SCHEMAS.violations(Part::Response, &self.asked, &frame[2]),
                                [],
                                "{text}"
                            );
                        }
                        let what = frame[2].as_str().map_or_else(|| frame[2].to_string(), str::to_owned);
                        self.log.push(format!("answer {what}"));
                    }
                }
                Output::Dial => self.log.push("dial".to_owned()),
                Output::Ping => self.log.push("ping".to_owned()),
                Output::Close => {
                    self.log.push("close".to_owned());
                }
                Output::Cut => self.log.push("cut".to_owned()),
                Output::Finished => self.log.push("finished".to_owned()),
                Output::Notice(notice) => {
                    if let Notice::GaveUp { action, .. } = *notice {
                        self.log.push(format!("gave up {action}"));
                    }
                }
            }
        }
    }

    pub(super) fn reply(&mut self, payload: &Value) {
        let (id, _, _) = self.calls[self.calls.len() - 1].clone();
        self.served = self.calls.len();
        self.tell(Input::Text(&json!([3, id, payload]).to_string()));
    }

    pub(super) fn refuse(&mut self) {
        let (id, _, _) = self.calls[self.calls.len() - 1].clone();
        self.served = self.calls.len();
        self.tell(Input::Text(&json!([4, id, "InternalError", "", {}]).to_string()));
    }

    /// Answers like an ordinary central system until the charger has nothing to say.
    pub(super) fn serve(&mut self) {
        while self.served < self.calls.len() {
            let action = self.calls[self.calls.len() - 1].1.clone();
            self.reply(&answer(&action));
        }
    }

    pub(super) fn command(&mut self, action: &str, payload: Value) {
        self.asked = action.to_owned();
        self.tell(Input::Text(&json!([2, "c", action, payload]).to_string()));
    }

    /// Gives a command: what is answered, as JSON.
    pub(super) fn ask(&mut self, action: &str, payload: Value) -> Value {
        let begin = self.log.len();
        self.command(action, payload);
        let answer = self.log.remove(begin);
        let text = answer.strip_prefix("answer ").expect("the answer comes first");
        serde_json::from_str(text).unwrap_or_else(|_| text.into())
    }

    /// Gives a command that is answered with nothing but this status.
    #[track_caller]
    pub(super) fn check(&mut self, action: &str, payload: Value, status: &str) {
        assert_eq!(self.ask(action, payload.clone()), json!({"status": status}), "{action} {payload}");
    }

    /// The payloads of the CALLs of one action, from the `from`-th CALL on.
    pub(super) fn told(&self, from: usize, action: &str) -> Vec<&Value> {
        self.calls[from..].iter().filter(|call| call.1 == action).map(|call| &call.2).collect()
    }

    /// The statuses told of a connector, from the `from`-th CALL on.
    pub(super) fn statuses(&self, from: usize, connector: u32) -> Vec<&str> {
        let told = self.told(from, "StatusNotification");
        let of_it = told.into_iter().filter(|payload| payload["connectorId"] == connector);
        of_it.map(|payload| payload["status"].as_str().expect("a text")).collect()
    }

    /// A charger whose cars and tags are moved by hand.
    pub(super) fn by_hand(connectors: u32) -> Self {
        Self::booted(|options| {
            options.sessions = Sessions::ByHand;
            options.connectors = connectors;
        })
    }

    /// Plugs in, shows a tag, and waits until the charger has said everything.
    pub(super) fn charge(&mut self, connector: u32, tag: &str) {
        self.act(Act::Plug(connector));
        self.act(Act::Tag { id_tag: tag.to_owned(), connector: Some(connector) });
        self.serve();
    }

    /// Lets time pass, deadline by deadline, without answering anything.
    pub(super) fn pass(&mut self, duration: Duration) {
        self.pass_with(duration, |_| {});
    }

    /// Lets time pass, deadline by deadline, with every call answered.
    pub(super) fn pass_served(&mut self, duration: Duration) {
        self.pass_with(duration, Self::serve);
    }

    pub(super) fn pass_with(&mut self, duration: Duration, mut between: impl FnMut(&mut Self)) {
        let end = self.now.after(duration);
        while let Some(at) = self.charger.next_deadline().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past would spin");
            self.now = at;
            self.tell(Input::Tick);
            between(self);
            assert!(self.charger.next_deadline().is_none_or(|next| next > at), "a deadline that stays");
        }
        self.now = end;
    }

    pub(super) fn cut(&mut self) {
        self.served = self.calls.len();
        self.tell(Input::Disconnected("cut".to_owned()));
    }

    pub(super) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(super) fn last(&self, action: &str) -> &Value {
        &self.calls.iter().rfind(|call| call.1 == action).expect("such a call").2
    }
}

pub(super) fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
