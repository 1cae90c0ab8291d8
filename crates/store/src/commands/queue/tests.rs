//! Commands on a clock that stands still until it is moved.

use super::*;
use crate::{Advice, CallPolicy, Connected, ConnectionEnd, Slice, TagRules};
use vocabulary::clock::Clock;
use vocabulary::id::ApiKeyId;
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::frame::{CallError, MessageId, Unserveable, empty_object};
use vocabulary::ocpp::message::{Inbound, MessageAction};
use vocabulary::ocpp::outgoing::{self, CallEnd, EndedCall, Unexpected};
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::ocpp::reading::Reading;
use vocabulary::ocpp::rejection::Rejection;

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    clock: Clock,
}

fn station() -> StationId {
    StationId::new("CP").expect("legal")
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

/// An order of `action`, for which `change` has the last word.
fn new(action: &str, payload: &str) -> NewCommand {
    NewCommand {
        station_id: station(),
        action: action.parse().expect("an action"),
        payload: raw(payload),
        timeout: Duration::from_secs(30),
        queue_for: None,
        metadata: None,
        key_verifier: None,
        requested_by: RequestedBy { id: ApiKeyId::from_value(1), name: "key".to_owned() },
    }
}

impl Bench {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        Self { dir, store, clock }
    }

    /// A bench whose station is connected and has booted.
    async fn booted() -> Self {
        let bench = Self::open();
        bench.connect(1).await;
        bench.hears("BootNotification", r#"{"chargePointVendor":"V","chargePointModel":"M"}"#).await;
        bench
    }

    async fn connect(&self, generation: u64) {
        let connected = Connected {
            station_id: station(),
            generation,
            protocol: Protocol::default(),
            remote_addr: "127.0.0.1:1".to_owned(),
            security_profile: 0,
            certificate: None,
            ratchet: true,
            discovered_as: Some(BootStatus::Accepted),
            flags: Vec::new(),
        };
        self.store.connected(connected).await.expect("writes").expect("known");
    }

    async fn disconnect(&self, generation: u64) {
        let end = ConnectionEnd { code: None, reason: "x".to_owned(), duration_ms: 0, replaced: false };
        self.store.disconnected(station(), generation, self.clock.now(), end).await.expect("writes");
    }

    /// Serves a CALL of the charger.
    async fn hears(&self, action: &str, payload: &str) {
        let (action, _) = MessageAction::recognise(Protocol::default(), action).expect("an action");
        let now = self.clock.now();
        let reading = Reading { validation: Validation::Lenient, received_at: now, zone: None };
        let id = MessageId::from_text("1");
        let inbound = Inbound::read(id, action, raw(payload), &reading).expect("readable");
        let policy = CallPolicy {
            heartbeat_interval_s: 300,
            tags: TagRules { unknown: UnknownIdTag::Accept, outside: None },
            data_transfer_vendors: Vec::new(),
        };
        self.serve(inbound, now, policy).await;
    }

    async fn serve(&self, inbound: Inbound, now: Timestamp, policy: CallPolicy) {
        self.store.calls(policy).serve(station(), inbound, now, Advice::default()).await.expect("serves");
    }

    async fn order(&self, new: NewCommand) -> Command {
        match self.store.create_command(new).await.expect("writes") {
            Creation::Created { command, .. } => *command,
            Creation::NotReady(why) => panic!("refused: {why:?}"),
            Creation::UnknownStation => panic!("unknown station"),
        }
    }

    async fn claim(&self, generation: u64) -> Outgoing {
        match self.store.claim_command(station(), generation).await.expect("writes") {
            NextCommand::Send(outgoing) => outgoing,
            other => panic!("{other:?}"),
        }
    }

    async fn end(&self, id: CommandId, end: CallEnd) {
        self.store
            .end_command(station(), EndedCall { id, end, violations: Vec::new() })
            .await
            .expect("writes");
    }

    /// Orders a command, sends it and has it answered.
    async fn answered(&self, new: NewCommand, answer: &str) -> CommandId {
        let command = self.order(new).await;
        assert_eq!(self.claim(1).await.id, command.id);
        self.end(command.id, CallEnd::Answered(raw(answer))).await;
        command.id
    }

    async fn command(&self, id: CommandId) -> Command {
        self.store.command(id).await.expect("reads").expect("there")
    }

    /// The payloads of the events of this type, oldest first.
    async fn events(&self, event: &str) -> Vec<serde_json::Value> {
        let filter =
            crate::EventFilter { events: vec![event.parse().expect("a pattern")], ..Default::default() };
        let slice = Slice { ascending: true, after: None, limit: 100 };
        let events = self.store.events(filter, slice).await.expect("reads").rows;
        events.iter().map(|event| serde_json::from_str(event.payload.get()).expect("JSON")).collect()
    }
}

const REMOTE_START: &str = "RemoteStartTransaction";
const CLEAR_CACHE: &str = "ClearCache";

fn start(connector: u32, tag: &str, timestamp: Timestamp) -> String {
    format!(r#"{{"connectorId":{connector},"idTag":"{tag}","meterStart":0,"timestamp":"{timestamp}"}}"#)
}

#[tokio::test]
async fn an_accepted_remote_start_is_followed_to_its_transaction() {
    let bench = Bench::booted().await;
    let asked = new(REMOTE_START, r#"{"idTag":"Tag","connectorId":2}"#);
    let id = bench.answered(asked, r#"{"status":"Accepted"}"#).await;
    assert_eq!((bench.command(id).await.accepted, bench.command(id).await.outcome), (Some(true), None));
    bench.clock.advance(Duration::from_secs(60));
    // Another connector, another tag, and one out of the offline queue: none of them was meant. That the
    // charger's clock is right is known from its status.
    let status = format!(
        r#"{{"connectorId":1,"errorCode":"NoError","status":"Available","timestamp":"{}"}}"#,
        bench.clock.now()
    );
    bench.hears("StatusNotification", &status).await;
    let now = bench.clock.now();
    bench.hears("StartTransaction", &start(1, "Tag", now)).await;
    bench.hears("StartTransaction", &start(2, "Other", now)).await;
    bench.hears("StartTransaction", &start(2, "Tag", now.before(Duration::from_secs(7_200)))).await;
    assert_eq!(bench.command(id).await.outcome, None);
    bench.hears("StartTransaction", &start(2, "TAG", now)).await;
    let command = bench.command(id).await;
    assert_eq!(command.outcome.map(|outcome| outcome.as_str()), Some("started"));
    let number = command.transaction_id.expect("a transaction");
    let transaction = bench.store.transaction(number).await.expect("reads").expect("there");
    assert_eq!((transaction.command_id, transaction.id_tag.as_deref()), (Some(id), Some("TAG")));
    let expected = serde_json::json!({"command_id": id, "outcome": "started", "transaction_id": number});
    assert_eq!(bench.events("RemoteStartOutcome").await, [expected]);
    // It is settled: neither time nor another start changes it.
    bench.clock.advance(Duration::from_secs(600));
    bench.hears("StartTransaction", &start(2, "Tag", bench.clock.now())).await;
    assert!(!bench.store.commands_overdue(bench.clock.now()).await.expect("reads"));
    assert_eq!(bench.events("RemoteStartOutcome").await.len(), 1);
}

#[tokio::test]
async fn a_start_before_the_answer_counts_when_the_answer_has_come() {
    let bench = Bench::booted().await;
    let command = bench.order(new(REMOTE_START, r#"{"idTag":"TAG"}"#)).await;
    bench.claim(1).await;
    bench.hears("StartTransaction", &start(1, "TAG", bench.clock.now())).await;
    assert_eq!(bench.events("RemoteStartOutcome").await, [0; 0]);
    bench.end(command.id, CallEnd::Answered(raw(r#"{"status":"Accepted"}"#))).await;
    let command = bench.command(command.id).await;
    assert_eq!(command.outcome.map(|outcome| outcome.as_str()), Some("started"));
    assert!(command.transaction_id.is_some());
}

#[tokio::test]
async fn a_start_between_the_time_out_and_the_late_answer_is_the_remote_starts() {
    let bench = Bench::booted().await;
    let before = start(1, "TAG", bench.clock.now());
    bench.hears("StartTransaction", &before).await;
    bench.clock.advance(Duration::from_secs(1));
    let id = bench.order(new(REMOTE_START, r#"{"idTag":"tag","connectorId":2}"#)).await.id;
    bench.claim(1).await;
    bench.end(id, CallEnd::TimedOut).await;
    bench.hears("StartTransaction", &start(1, "TAG", bench.clock.now())).await;
    bench.hears("StartTransaction", &start(2, "TAG", bench.clock.now())).await;
    assert_eq!(bench.command(id).await.transaction_id, None);
    let unexpected = Unexpected {
        message_id: outgoing::message_id(id),
        answer: CallEnd::Answered(raw(r#"{"status":"Accepted"}"#)),
        rejection: Rejection {
            raw: None,
            size: 0,
            reason: Unserveable::UnknownCall,
            answer: None,
            violations: Vec::new(),
        },
    };
    bench.store.unexpected_answer(station(), unexpected, bench.clock.now()).await.expect("writes");
    let command = bench.command(id).await;
    assert_eq!(command.outcome.map(|outcome| outcome.as_str()), Some("started"));
    let number = command.transaction_id.expect("a transaction");
    let transaction = bench.store.transaction(number).await.expect("reads").expect("there");
    assert_eq!((transaction.command_id, transaction.connector_id), (Some(id), Some(2)));
    // Not another outcome when the time for one is over.
    bench.clock.advance(Duration::from_secs(600));
    assert!(!bench.store.commands_overdue(bench.clock.now()).await.expect("reads"));
    assert_eq!(bench.events("RemoteStartOutcome").await.len(), 1);
}

#[tokio::test]
async fn case_49_a_remote_start_nobody_follows_is_not_started_after_180_seconds_and_a_restart() {
    let bench = Bench::booted().await;
    let id = bench.answered(new(REMOTE_START, r#"{"idTag":"TAG"}"#), r#"{"status":"Accepted"}"#).await;
    let refused = bench.answered(new(REMOTE_START, r#"{"idTag":"TAG"}"#), r#"{"status":"Rejected"}"#).await;
    bench.store.close();
    let store = Store::open(bench.dir.path(), bench.clock.clone()).expect("opens again");
    let bench = Bench { store, ..bench };
    bench.clock.advance(Duration::from_secs(179));
    assert!(!bench.store.commands_overdue(bench.clock.now()).await.expect("reads"));
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.store.commands_overdue(bench.clock.now()).await.expect("reads"));
    bench.store.settle_overdue_commands().await.expect("writes");
    let expected = serde_json::json!({"command_id": id, "outcome": "not_started", "transaction_id": null});
    assert_eq!(bench.events("RemoteStartOutcome").await, [expected]);
    assert_eq!(bench.command(id).await.status, CommandStatus::Completed);
    assert_eq!(bench.command(refused).await.outcome, None);
}

#[tokio::test]
async fn a_sent_command_is_lost_at_the_next_start_and_one_that_may_wait_still_waits() {
    let bench = Bench::booted().await;
    let sent = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    bench.claim(1).await;
    let next = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    let may_wait = NewCommand { queue_for: Some(Duration::from_secs(3_600)), ..new(CLEAR_CACHE, "{}") };
    let may_wait = bench.order(may_wait).await.id;
    bench.store.close();
    let store = Store::open(bench.dir.path(), bench.clock.clone()).expect("opens again");
    let bench = Bench { store, ..bench };
    for lost in [sent, next] {
        assert_eq!(bench.command(lost).await.status, CommandStatus::ConnectionLost);
    }
    assert_eq!(bench.events("ClearCache").await.len(), 2);
    bench.connect(1).await;
    assert_eq!(bench.claim(1).await.id, may_wait, "it has booted, in an earlier run");
}

#[tokio::test]
async fn a_connection_takes_its_own_commands_with_it_and_no_other() {
    let bench = Bench::booted().await;
    let old = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    // The new connection is on record before the old one's end is.
    bench.connect(2).await;
    let of_new = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    assert!(
        matches!(bench.store.claim_command(station(), 1).await, Ok(NextCommand::Nothing)),
        "its time is over"
    );
    assert_eq!(bench.claim(2).await.id, of_new);
    bench.disconnect(1).await;
    assert_eq!(bench.command(old).await.status, CommandStatus::ConnectionLost);
    assert_eq!(bench.command(of_new).await.status, CommandStatus::Sent);
}

#[tokio::test]
async fn who_waits_too_long_expires() {
    let bench = Bench::booted().await;
    let command = bench.order(new(CLEAR_CACHE, "{}")).await;
    assert_eq!(command.expires_at, bench.clock.now().after(Duration::from_secs(30)));
    bench.clock.advance(Duration::from_secs(30));
    assert!(matches!(bench.store.claim_command(station(), 1).await, Ok(NextCommand::Nothing)));
    assert_eq!(bench.command(command.id).await.status, CommandStatus::Expired);
    assert_eq!(bench.events("ClearCache").await[0]["status"], "expired");
}

#[tokio::test]
async fn a_station_that_was_not_accepted_is_asked_only_what_it_may() {
    let bench = Bench::open();
    bench.connect(1).await;
    let takes = async |action, payload| match bench.store.create_command(new(action, payload)).await {
        Ok(Creation::Created { command, .. }) => {
            bench.store.cancel_command(command.id).await.expect("writes");
            None
        }
        Ok(Creation::NotReady(why)) => Some(why),
        _ => panic!("neither made nor refused"),
    };
    let boot = r#"{"chargePointVendor":"V","chargePointModel":"M"}"#;
    let tag = r#"{"idTag":"TAG"}"#;
    assert_eq!(takes(CLEAR_CACHE, "{}").await, Some(NotReady::NeverBooted));
    bench.store.seed_run("UPDATE stations SET boot_status = 'pending'").await;
    bench.hears("BootNotification", boot).await;
    assert_eq!(takes(CLEAR_CACHE, "{}").await, None);
    assert_eq!(takes(REMOTE_START, tag).await, Some(NotReady::Pending));
    // It would be accepted now, but has not heard of it.
    bench.store.seed_run("UPDATE stations SET boot_status = 'accepted'").await;
    assert_eq!(takes(REMOTE_START, tag).await, Some(NotReady::Pending));
    let queued = NewCommand { queue_for: Some(Duration::from_secs(60)), ..new(REMOTE_START, tag) };
    let queued = bench.order(queued).await.id;
    assert!(matches!(bench.store.claim_command(station(), 1).await, Ok(NextCommand::NotYet)));
    bench.hears("BootNotification", boot).await;
    assert_eq!(bench.claim(1).await.id, queued);
    bench.store.seed_run("UPDATE stations SET boot_status = 'rejected'").await;
    assert_eq!(takes(CLEAR_CACHE, "{}").await, Some(NotReady::Rejected));
    bench.disconnect(1).await;
    assert_eq!(takes(CLEAR_CACHE, "{}").await, Some(NotReady::NotConnected));
}

#[tokio::test]
async fn a_secret_is_kept_only_until_it_is_sent_and_shown_never() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let bench = Bench::booted().await;
    let payload = format!(r#"{{"key":"AuthorizationKey","value":"{SECRET}"}}"#);
    let change = || new("ChangeConfiguration", &payload);
    let kept = async |id: CommandId| {
        let (text, events) = (bench.command(id).await, bench.events("ChangeConfiguration").await);
        let text = serde_json::to_string(&(text, events)).expect("JSON");
        assert!(text.contains("***"), "{text}");
        text.contains(SECRET)
    };
    let in_the_row = "SELECT count(*) FROM commands WHERE sealed_payload IS NOT NULL";
    let command = bench.order(change()).await;
    assert!(!kept(command.id).await);
    assert_eq!(bench.store.seed_number(in_the_row).await, 1, "it is still to be sent");
    assert_eq!(bench.claim(1).await.payload.get(), payload);
    assert_eq!(bench.store.seed_number(in_the_row).await, 0);
    let error = CallError {
        id: MessageId::from_text("1"),
        code: "PropertyConstraintViolation".to_owned(),
        description: format!("{SECRET} is too long"),
        details: raw(&format!(r#"{{"value":"{SECRET}"}}"#)),
    };
    bench.end(command.id, CallEnd::Refused(error)).await;
    assert!(!kept(command.id).await);
    assert_eq!(bench.command(command.id).await.error.expect("one").code, "PropertyConstraintViolation");
    let parrot = format!(r#"{{"status":"Rejected","value":"{SECRET}"}}"#);
    let id = bench.answered(change(), &parrot).await;
    assert!(!kept(id).await);
    let response = bench.command(id).await.response.expect("one");
    assert_eq!(response.get(), r#"{"status":"Rejected"}"#);
    // Called back before it was sent, it is forgotten too.
    let command = bench.order(change()).await;
    bench.store.cancel_command(command.id).await.expect("writes");
    assert_eq!(bench.store.seed_number(in_the_row).await, 0);
}

#[tokio::test]
async fn three_calls_without_answer_flag_the_station() {
    let bench = Bench::booted().await;
    let flagged = async || {
        let station = bench.store.station(station()).await.expect("reads").expect("there");
        station.flags.iter().any(|flag| flag == "unresponsive")
    };
    for answered in [false, false, true, false, false] {
        let id = bench.order(new(CLEAR_CACHE, "{}")).await.id;
        bench.claim(1).await;
        let end = if answered { CallEnd::Answered(empty_object()) } else { CallEnd::TimedOut };
        bench.end(id, end).await;
        assert!(!flagged().await);
    }
    let id = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    bench.claim(1).await;
    bench.end(id, CallEnd::TimedOut).await;
    assert!(flagged().await);
    // It answers again.
    let id = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    bench.claim(1).await;
    bench.end(id, CallEnd::Answered(empty_object())).await;
    assert!(!flagged().await);
}

#[tokio::test]
async fn an_answer_of_the_wrong_shape_is_kept_with_what_is_wrong() {
    let bench = Bench::booted().await;
    for (answer, accepted, violations) in [
        (r#"{"status":"Accepted"}"#, true, 0),
        (r#"{"status":"accepted"}"#, true, 1),
        (r#"{"state":"Accepted"}"#, false, 2),
    ] {
        let id = bench.answered(new(CLEAR_CACHE, "{}"), answer).await;
        let command = bench.command(id).await;
        assert_eq!(command.status, CommandStatus::Completed);
        assert_eq!((command.accepted, command.violations.len()), (Some(accepted), violations), "{answer}");
        assert_eq!(command.response.expect("one").get(), answer);
    }
    let id = bench.order(new(CLEAR_CACHE, "{}")).await.id;
    bench.claim(1).await;
    bench.end(id, CallEnd::Malformed { raw: "[3,".to_owned() }).await;
    let command = bench.command(id).await;
    let error = command.error.expect("one");
    assert_eq!((command.status, error.code.as_str()), (CommandStatus::Error, "MalformedResponse"));
    assert_eq!(error.details.get(), r#"{"raw":"[3,"}"#);
}

#[tokio::test]
async fn an_answer_is_late_for_ten_minutes_and_only_from_its_station() {
    let bench = Bench::booted().await;
    let late = async |id: CommandId, station: &str| {
        let message_id = outgoing::message_id(id);
        let answer = CallEnd::Answered(raw(r#"{"status":"Accepted"}"#));
        let rejection = Rejection {
            raw: None,
            size: 0,
            reason: Unserveable::UnknownCall,
            answer: None,
            violations: Vec::new(),
        };
        let station = StationId::new(station).expect("legal");
        let unexpected = Unexpected { message_id, answer, rejection };
        bench.store.unexpected_answer(station, unexpected, bench.clock.now()).await.expect("writes");
        bench.command(id).await.late_response.is_some()
    };
    let timed_out = async || {
        let id = bench.order(new(CLEAR_CACHE, "{}")).await.id;
        bench.claim(1).await;
        bench.end(id, CallEnd::TimedOut).await;
        id
    };
    let id = timed_out().await;
    assert!(!late(id, "OTHER").await);
    bench.clock.advance(Duration::from_secs(599));
    assert!(late(id, "CP").await);
    assert_eq!(bench.command(id).await.status, CommandStatus::Timeout);
    let id = timed_out().await;
    bench.clock.advance(Duration::from_secs(600));
    assert!(!late(id, "CP").await);
    let rejected = bench.events("MessageRejected").await.len();
    assert_eq!(rejected, 2, "from another station, and too late");
}

#[tokio::test]
async fn so_many_commands_may_wait_for_one_station() {
    let bench = Bench::booted().await;
    let order = || {
        let queued = NewCommand { queue_for: Some(Duration::from_secs(3_600)), ..new("ClearCache", "{}") };
        bench.store.create_command(queued)
    };
    let made = futures_util::future::join_all((0..QUEUED_PER_STATION).map(|_| order())).await;
    let ids = made.into_iter().map(|made| match made {
        Ok(Creation::Created { command, .. }) => command.id,
        _ => panic!("not made"),
    });
    let ids: Vec<CommandId> = ids.collect();
    assert!(matches!(order().await, Ok(Creation::NotReady(NotReady::Full))), "one more");
    bench.store.cancel_command(ids[0]).await.expect("writes");
    assert!(matches!(order().await, Ok(Creation::Created { .. })), "there is room again");
}
