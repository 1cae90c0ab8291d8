//! Takes a charger through steps: does them one after the other, and waits for what is expected.
//!
//! Like the charger it knows no socket and no clock: it is told what happened, and says what is next.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::act::Act;
use super::charger::Charger;
use super::notice::Notice;
use super::scenario::Line;
use super::step::{Expectation, HELP, Pattern, Step};
use vocabulary::clock::Timestamp;

/// At most so many exchanges that were not yet expected are kept.
const EXCHANGES_MAX: usize = 10_000;
/// After the last step the charger may still say so long what it has to say.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What to do next.
#[derive(Debug)]
pub enum Next {
    /// Do this to the charger; if it cannot be done, say so with [`Director::refused`].
    Act(Act),
    /// Tell whoever watches.
    Tell(Notice),
    /// Nothing until something happens, or the deadline comes.
    Wait,
    /// All is done.
    End,
}

/// An exchange that an expectation may ask for.
#[derive(Debug)]
struct Exchange {
    by_charger: bool,
    action: String,
    payload: Value,
    answer: Value,
}

#[derive(Debug)]
enum State {
    Ready,
    Until(Timestamp),
    Expecting(Expectation, Timestamp),
    /// The last words.
    Leaving(Timestamp),
}

/// Takes one charger through its steps.
#[derive(Debug)]
pub struct Director {
    steps: VecDeque<Line>,
    /// The step that was told and is to be done.
    told: Option<Step>,
    /// Line and text of the last one that was begun.
    current: (usize, String),
    state: State,
    exchanges: VecDeque<Exchange>,
    failures: u64,
    /// More steps may come, and a failure is no reason to leave: somebody sits at a terminal.
    live: bool,
    /// No more steps come.
    closed: bool,
}

impl Director {
    /// Takes these steps; the first failure ends it.
    pub fn scripted(steps: Vec<Line>) -> Self {
        Self { steps: steps.into(), live: false, closed: true, ..Self::live() }
    }

    /// Takes steps as they come; a failure is told and nothing more.
    pub fn live() -> Self {
        Self {
            steps: VecDeque::new(),
            told: None,
            current: (0, String::new()),
            state: State::Ready,
            exchanges: VecDeque::new(),
            failures: 0,
            live: true,
            closed: false,
        }
    }

    /// One more line from the terminal; `Err` says what is wrong with it.
    pub fn push(&mut self, number: usize, text: &str) -> Result<(), Notice> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        match text.parse() {
            Ok(step) => {
                self.steps.push_back(Line { number, text: text.to_owned(), step });
                Ok(())
            }
            Err(reason) => {
                self.failures += 1;
                Err(Notice::StepFailed { line: number, step: text.to_owned(), reason: reason.to_string() })
            }
        }
    }

    /// No more lines will come.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Steps that could not be done, or whose expectation did not come true.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// When [`Director::next`] has to be asked again at the latest.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Ready => None,
            State::Until(at) | State::Expecting(_, at) | State::Leaving(at) => Some(at),
        }
    }

    /// Something happened to the charger.
    pub fn observe(&mut self, notice: &Notice) {
        let value = |raw: &str| serde_json::from_str(raw).unwrap_or(Value::Null);
        let exchange = match notice {
            Notice::Acknowledged(one) => Exchange {
                by_charger: true,
                action: one.action.to_owned(),
                payload: value(one.payload.get()),
                answer: value(one.response.get()),
            },
            Notice::Commanded { action, payload, answer } => Exchange {
                by_charger: false,
                action: action.clone(),
                payload: value(payload.get()),
                answer: value(answer.get()),
            },
            _ => return,
        };
        self.exchanges.push_back(exchange);
        if self.exchanges.len() > EXCHANGES_MAX {
            self.exchanges.pop_front();
        }
    }

    /// The last act could not be done.
    pub fn refused(&mut self, reason: String) -> Notice {
        self.fail(reason)
    }

    /// What is next, as things are at `now`. To be asked until it says to wait.
    pub fn next(&mut self, now: Timestamp, charger: &Charger) -> Next {
        match &self.state {
            State::Ready => self.begin_next(now, charger),
            State::Until(at) if *at <= now => {
                self.state = State::Ready;
                self.next(now, charger)
            }
            State::Leaving(at) if *at <= now || charger.is_quiet() => Next::End,
            State::Until(_) | State::Leaving(_) => Next::Wait,
            State::Expecting(expectation, at) => {
                let (expectation, at) = (expectation.clone(), *at);
                if self.has_come_true(&expectation, charger) {
                    self.state = State::Ready;
                    return self.next(now, charger);
                }
                if at > now {
                    return Next::Wait;
                }
                let reason = format!("expected {expectation}, but {}", self.instead(&expectation, charger));
                Next::Tell(self.fail(reason))
            }
        }
    }

    fn begin_next(&mut self, now: Timestamp, charger: &Charger) -> Next {
        // A step is told first, then done.
        if let Some(step) = self.told.take() {
            return match step {
                Step::Act(act) => Next::Act(act),
                Step::Wait(duration) => {
                    self.state = State::Until(now.after(duration));
                    Next::Wait
                }
                Step::Expect(expectation, patience) => {
                    self.state = State::Expecting(expectation, now.after(patience));
                    self.next(now, charger)
                }
                Step::Status => Next::Tell(Notice::Reply { text: overview(charger) }),
                Step::Help => Next::Tell(Notice::Reply { text: HELP.to_owned() }),
                Step::Quit => {
                    self.leave(now);
                    self.next(now, charger)
                }
            };
        }
        match self.steps.pop_front() {
            Some(Line { number, text, step }) => {
                self.told = Some(step);
                self.current = (number, text.clone());
                Next::Tell(Notice::Step { line: number, step: text })
            }
            None if self.closed => {
                self.leave(now);
                self.next(now, charger)
            }
            None => Next::Wait,
        }
    }

    fn leave(&mut self, now: Timestamp) {
        self.state = State::Leaving(now.after(LAST_WORDS));
    }

    fn has_come_true(&mut self, expectation: &Expectation, charger: &Charger) -> bool {
        match expectation {
            Expectation::Online => charger.is_in_service(),
            Expectation::Status(id, status) => charger.status(*id).as_ref() == Some(status),
            Expectation::Sent(pattern) => self.find(true, pattern),
            Expectation::Command(pattern) => self.find(false, pattern),
            Expectation::Waiting(count) => charger.waiting() == *count,
            Expectation::Quiet => charger.is_in_service() && charger.is_quiet(),
        }
    }

    /// Looks for an exchange; it and those of its kind before it are not looked at again.
    fn find(&mut self, by_charger: bool, pattern: &Pattern) -> bool {
        let mut of_kind =
            self.exchanges.iter().enumerate().filter(|(_, exchange)| exchange.by_charger == by_charger);
        let found = of_kind
            .find(|(_, exchange)| pattern.matches(&exchange.action, &exchange.payload, &exchange.answer));
        let Some((position, _)) = found else { return false };
        let mut index = 0;
        self.exchanges.retain(|exchange| {
            index += 1;
            index > position + 1 || exchange.by_charger != by_charger
        });
        true
    }

    /// How things are instead of what was expected.
    fn instead(&self, expectation: &Expectation, charger: &Charger) -> String {
        let last = |by_charger: bool, none: &str| {
            let mut of_kind = self.exchanges.iter().filter(|exchange| exchange.by_charger == by_charger);
            match of_kind.next_back() {
                Some(Exchange { action, payload, answer, .. }) => {
                    format!("the last one since was {action} {payload} with the answer {answer}")
                }
                None => none.to_owned(),
            }
        };
        match expectation {
            Expectation::Online if charger.is_connected() => "the boot was not accepted".to_owned(),
            Expectation::Online => "there is no connection".to_owned(),
            Expectation::Status(id, _) => match charger.status(*id) {
                Some(status) => format!("it is {status}"),
                None => "there is no such connector".to_owned(),
            },
            Expectation::Sent(_) => last(true, "nothing was sent and answered"),
            Expectation::Command(_) => last(false, "the central system asked for nothing"),
            Expectation::Waiting(_) => format!("{} wait", charger.waiting()),
            Expectation::Quiet => "something still waits".to_owned(),
        }
    }

    fn fail(&mut self, reason: String) -> Notice {
        self.failures += 1;
        self.state = State::Ready;
        if !self.live {
            // What comes after it was written for a charger that is where it should be.
            self.steps.clear();
        }
        let (line, step) = self.current.clone();
        Notice::StepFailed { line, step, reason }
    }
}

/// How things are, in a few lines.
fn overview(charger: &Charger) -> String {
    let mut text = match (charger.is_in_service(), charger.is_connected()) {
        (true, _) => "connected and accepted".to_owned(),
        (false, true) => "connected, not accepted".to_owned(),
        (false, false) => "not connected".to_owned(),
    };
    text.push_str(&format!(", {} transaction messages wait", charger.waiting()));
    for (id, status, id_tag) in charger.overview() {
        text.push_str(&format!("\nconnector {id}: {status}"));
        if let Some(id_tag) = id_tag {
            text.push_str(&format!(" for {id_tag}"));
        }
    }
    text
}
