//! Somebody asks stations things, and they answer as chargers do: soon, late, twice, wrongly or never.

use std::time::Duration;

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::World;
use crate::station::session::{Action, Append, Input};
use store::{Creation, NewCommand, NextCommand};
use vocabulary::api::command::RequestedBy;
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;
use vocabulary::ocpp::outgoing;

const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the orphans of a station wait for news.
const ORPHAN_AFTER: Duration = Duration::from_secs(240);

/// A CALL of ours that a charger has before it.
pub(super) struct Asked {
    /// What it will say, if it says anything in time.
    answer: Option<(Timestamp, String)>,
    deadline: Timestamp,
}

impl World {
    /// Somebody wants something of a station.
    pub(super) async fn order(&mut self) {
        let nth = self.dice.below(super::STATIONS);
        let (action, payload) = match self.dice.below(4) {
            0 => ("Reset", json!({"type": "Soft"})),
            1 => ("ChangeAvailability", json!({"connectorId": 0, "type": "Operative"})),
            2 => ("RemoteStartTransaction", json!({"connectorId": 1, "idTag": "TAG1"})),
            _ => ("GetConfiguration", json!({})),
        };
        let new = NewCommand {
            station_id: self.chargers[nth].id.clone(),
            action: action.parse().expect("an action"),
            payload: to_raw_value(&payload).expect("JSON"),
            timeout: TIMEOUT,
            queue_for: self.dice.one_in(2).then_some(Duration::from_secs(60)),
            metadata: None,
            key_verifier: None,
            requested_by: RequestedBy { id: ApiKeyId::from_value(1), name: "simulation".to_owned() },
        };
        if let Creation::Created { command, .. } = self.store.create_command(new).await.expect("ordered") {
            self.orders += 1;
            self.in_demand.insert(nth);
            if self.dice.one_in(8) {
                // Called back, if that is not too late.
                self.store.cancel_command(command.id).await.expect("tried");
            }
        }
    }

    /// Connections take their turns, chargers answer, and what waits for too long ends.
    pub(super) async fn command(&mut self) {
        for nth in 0..super::STATIONS {
            self.hear(nth).await;
        }
        for nth in self.in_demand.clone() {
            self.ask(nth).await;
        }
        let (now, monotonic) = (self.clock.now(), self.store.monotonic().now());
        if self.store.commands_overdue(monotonic).await.expect("read") {
            self.store.settle_overdue_commands().await.expect("settled");
        }
        while self.store.complete_orphans(now.before(ORPHAN_AFTER)).await.expect("completed") {}
        const TWO_AT_ONCE: &str = "SELECT count(*) FROM (SELECT 1 FROM commands WHERE status = 'sent' GROUP BY station_id HAVING count(*) > 1)";
        assert_eq!(self.store.seed_number(TWO_AT_ONCE).await, 0, "two commands of one station are under way");
    }

    async fn ask(&mut self, nth: usize) {
        let (now, monotonic) = (self.clock.now(), self.store.monotonic().now());
        let id = self.chargers[nth].id.clone();
        let Some(line) = self.chargers[nth].line.as_mut().filter(|line| line.session.may_call()) else {
            return;
        };
        let NextCommand::Send(outgoing) =
            self.store.claim_command(id, line.generation).await.expect("claimed")
        else {
            return;
        };
        let message_id = outgoing::message_id(outgoing.id);
        let deadline = monotonic.after(outgoing.timeout);
        let actions = line.session.handle(now, Input::Command(outgoing));
        let [Action::Send(text)] = actions.as_slice() else { panic!("it is sent: {actions:?}") };
        assert!(text.starts_with("[2,"));
        let answer = match self.dice.below(10) {
            0 => None,
            1 => Some(format!(r#"[4,{},"NotSupported","no",{{}}]"#, message_id.as_json())),
            2 => Some(format!(r#"[3,{},{{"status""#, message_id.as_json())),
            3 => Some(format!("[3,{},[]]", message_id.as_json())),
            _ => Some(format!(r#"[3,{},{{"status":"Accepted"}}]"#, message_id.as_json())),
        };
        // Most answer at once, some after everybody has stopped waiting.
        let after =
            Duration::from_millis(
                self.dice.below(if self.dice.clone().one_in(4) { 20_000 } else { 1_500 }) as u64
            );
        line.asked = Some(Asked { answer: answer.map(|text| (monotonic.after(after), text)), deadline });
    }

    async fn hear(&mut self, nth: usize) {
        let (now, monotonic) = (self.clock.now(), self.store.monotonic().now());
        let Some(line) = self.chargers[nth].line.as_mut() else { return };
        let Some(asked) = line.asked.as_mut() else { return };
        let mut actions = Vec::new();
        if let Some((at, text)) = &asked.answer
            && *at <= monotonic
        {
            actions.extend(line.session.handle(now, Input::Text(text)));
            line.asked = None;
        } else if asked.deadline <= monotonic && !line.session.may_call() {
            actions.extend(line.session.handle(now, Input::TimedOut));
            if asked.answer.is_none() {
                line.asked = None;
            }
        }
        for action in actions {
            let Action::Append(append) = action else { panic!("answers are not answered: {action:?}") };
            self.keep(nth, append).await;
            let line = self.chargers[nth].line.as_mut().expect("still there");
            let next = line.session.handle(now, Input::Stored(None::<Box<RawValue>>));
            assert!(next.is_empty(), "{next:?}");
        }
    }

    async fn keep(&mut self, nth: usize, append: Append) {
        let station = self.chargers[nth].id.clone();
        match append {
            Append::CallEnded(ended) => self.store.end_command(station, *ended).await.expect("ended"),
            Append::Unexpected(unexpected) => {
                let now = self.clock.now();
                self.store.unexpected_answer(station, *unexpected, now).await.expect("kept");
            }
            other => panic!("an answer is no CALL: {other:?}"),
        }
    }

    /// Whether no command waits or is under way.
    pub(super) async fn all_commands_ended(&self) -> bool {
        const OPEN: &str =
            "SELECT count(*) FROM commands WHERE completed_at_ms IS NULL OR outcome_due_ms IS NOT NULL";
        self.store.seed_number(OPEN).await == 0
    }
}
