//! The state machine alone, in virtual time.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Bench, MINUTE, text_of};
use super::central::answer;
use crate::Sessions;
use crate::charger::Input;
use vocabulary::clock::Timestamp;

#[test]
fn a_session_has_its_messages_in_the_right_order_and_numbers_that_add_up() {
    let mut bench = Bench::booted(|_| {});
    assert_eq!(
        bench.take_log(),
        ["dial", "BootNotification", "StatusNotification", "StatusNotification", "StatusNotification"]
    );
    assert_eq!(bench.last("StatusNotification")["status"], "Preparing");
    bench.pass_served(Duration::from_secs(2));
    assert_eq!(bench.take_log(), ["Authorize", "StartTransaction", "StatusNotification"]);
    bench.pass_served(4 * MINUTE);
    assert_eq!(bench.take_log(), ["MeterValues"; 4]);
    let sample = &bench.last("MeterValues")["meterValue"][0]["sampledValue"];
    assert_eq!(sample.as_array().map(Vec::len), Some(5));
    assert_eq!(sample[0]["context"], "Sample.Periodic");
    bench.pass_served(7 * MINUTE);
    let log = bench.take_log();
    let tail: Vec<&str> = log.iter().rev().take(4).rev().map(String::as_str).collect();
    assert_eq!(tail, ["StatusNotification", "StopTransaction", "StatusNotification", "finished"]);
    let start = bench.last("StartTransaction")["meterStart"].as_i64().expect("a whole number");
    let stop = bench.last("StopTransaction");
    assert_eq!(stop["transactionId"], 4711);
    assert_eq!(stop["reason"], "Local");
    let energy = stop["meterStop"].as_i64().expect("a whole number") - start;
    assert!((1_750..=1_840).contains(&energy), "{energy} Wh in ten minutes at about 11 kW");
    let contexts = [0, 1].map(|index| stop["transactionData"][index]["sampledValue"][0]["context"].clone());
    assert_eq!(contexts, ["Transaction.Begin", "Transaction.End"]);
    assert_eq!(stop["transactionData"][1]["sampledValue"][0]["value"], stop["meterStop"].to_string());
}

#[test]
fn time_can_run_faster_and_meets_the_present_at_the_end() {
    let mut bench = Bench::booted(|options| options.time_scale = 60.0);
    let began = bench.now;
    bench.pass_served(Duration::from_secs(12));
    assert_eq!(bench.take_log().last().map(String::as_str), Some("finished"));
    let time = |payload: &Value| text_of(&payload["timestamp"]).parse::<Timestamp>().expect("a time");
    let (start, stop) = (bench.last("StartTransaction"), bench.last("StopTransaction"));
    let took = time(stop).since(time(start));
    assert!(took.abs_diff(10 * MINUTE) < Duration::from_secs(15), "{took:?} by the charger's clock");
    assert!(time(start) < began && time(stop) <= bench.now);
    let energy = stop["meterStop"].as_i64().expect("Wh") - start["meterStart"].as_i64().expect("Wh");
    let most = 11.04 * took.as_secs_f64() / 3.6;
    assert!((0.95 * most..=most + 1.0).contains(&(energy as f64)), "{energy} Wh of at most {most}");
}

#[test]
fn what_happens_while_offline_is_told_afterwards_in_order_with_its_own_times() {
    let mut bench = Bench::booted(|_| {});
    bench.pass(Duration::from_secs(2));
    bench.reply(&answer("Authorize"));
    // The start went out, but its answer is lost with the socket.
    assert_eq!(bench.log.last().map(String::as_str), Some("StartTransaction"));
    let start = bench.last("StartTransaction").clone();
    let first_id = bench.calls[bench.calls.len() - 1].0.clone();
    bench.cut();
    bench.take_log();
    bench.pass_with(15 * MINUTE, |bench| {
        if bench.log.last().is_some_and(|last| last == "dial") {
            bench.tell(Input::DialFailed("no network".to_owned()));
        }
    });
    let log = bench.take_log();
    assert!(log.len() > 10 && log.iter().all(|entry| entry == "dial"), "{log:?}");
    bench.tell(Input::Connected);
    bench.serve();
    let mut expected = vec!["StartTransaction"];
    expected.extend(["MeterValues"; 9]);
    expected.push("StopTransaction");
    let log = bench.take_log();
    let transactional: Vec<&str> =
        log.iter().map(String::as_str).filter(|action| expected.contains(action)).collect();
    assert_eq!(transactional, expected);
    assert_eq!(*bench.last("StartTransaction"), start, "the same start, to the letter");
    let retried = bench.calls.iter().rfind(|call| call.1 == "StartTransaction").expect("a start");
    assert_ne!(retried.0, first_id, "under a new message id");
    assert_eq!(bench.last("StopTransaction")["transactionId"], 4711);
    assert_eq!(bench.last("MeterValues")["transactionId"], 4711);
    let stopped: Timestamp = text_of(&bench.last("StopTransaction")["timestamp"]).parse().expect("a time");
    assert!(bench.now.since(stopped) > 4 * MINUTE, "the stop is as old as it is");
    assert_eq!(log.last().map(String::as_str), Some("finished"));
}

#[test]
fn triggers_are_answered_first() {
    let mut bench = Bench::booted(|options| options.sessions = Sessions::OnlyRemote);
    bench.take_log();
    bench.command("TriggerMessage", json!({"requestedMessage": "Heartbeat"}));
    assert_eq!(bench.take_log(), [r#"answer {"status":"Accepted"}"#, "Heartbeat"]);
    bench.serve();
    bench.command("TriggerMessage", json!({"requestedMessage": "StatusNotification", "connectorId": 1}));
    bench.serve();
    assert_eq!(bench.take_log(), [r#"answer {"status":"Accepted"}"#, "StatusNotification"]);
    bench.command("TriggerMessage", json!({"requestedMessage": "MeterValues", "connectorId": 1}));
    bench.serve();
    assert_eq!(bench.take_log(), [r#"answer {"status":"Accepted"}"#, "MeterValues"]);
    bench.command("TriggerMessage", json!({"requestedMessage": "MeterValues", "connectorId": 9}));
    bench.command("TriggerMessage", json!({"requestedMessage": "SignCertificate"}));
    assert_eq!(
        bench.take_log(),
        [r#"answer {"status":"Rejected"}"#, r#"answer {"status":"NotImplemented"}"#]
    );
}

#[test]
fn a_remote_session_starts_and_stops_on_command() {
    let mut bench = Bench::booted(|options| options.sessions = Sessions::OnlyRemote);
    bench.take_log();
    bench.command("RemoteStartTransaction", json!({"idTag": "REMOTE", "connectorId": 1}));
    bench.serve();
    bench.pass_served(MINUTE);
    assert_eq!(
        bench.take_log(),
        [r#"answer {"status":"Accepted"}"#, "StatusNotification", "StartTransaction", "StatusNotification"]
    );
    assert_eq!(bench.last("StartTransaction")["idTag"], "REMOTE");
    bench.command("RemoteStartTransaction", json!({"idTag": "OTHER", "connectorId": 1}));
    bench.command("RemoteStopTransaction", json!({"transactionId": 1}));
    assert_eq!(bench.take_log(), [r#"answer {"status":"Rejected"}"#; 2]);
    bench.command("RemoteStopTransaction", json!({"transactionId": 4711}));
    bench.serve();
    assert_eq!(
        bench.take_log(),
        [r#"answer {"status":"Accepted"}"#, "StatusNotification", "StopTransaction"]
    );
    assert_eq!(bench.last("StopTransaction")["reason"], "Remote");
    assert_eq!(bench.last("StopTransaction").get("idTag"), None, "no driver ended it");
}

#[test]
fn remote_starts_ask_first_where_the_configuration_says_so() {
    let mut bench = Bench::booted(|options| options.sessions = Sessions::OnlyRemote);
    bench.command("ChangeConfiguration", json!({"key": "AuthorizeRemoteTxRequests", "value": "true"}));
    bench.take_log();
    bench.command("RemoteStartTransaction", json!({"idTag": "REMOTE"}));
    assert_eq!(bench.take_log(), [r#"answer {"status":"Accepted"}"#, "Authorize"]);
    bench.reply(&json!({"idTagInfo": {"status": "Blocked"}}));
    bench.pass_served(MINUTE);
    assert_eq!(bench.take_log(), [""; 0], "nothing began, so nothing changed");
    bench.command("RemoteStartTransaction", json!({"idTag": "OTHER"}));
    bench.serve();
    bench.pass_served(Duration::from_secs(2));
    let began = ["Authorize", "StatusNotification", "StartTransaction", "StatusNotification"];
    assert_eq!(bench.take_log()[1..], began);
}

#[test]
fn what_it_does_not_do_is_refused_with_the_right_code() {
    let mut bench = Bench::booted(|options| options.sessions = Sessions::OnlyRemote);
    bench.take_log();
    bench.command("ReserveNow", json!({}));
    bench.command("ReserveNow", json!({"connectorId": "one"}));
    bench.command("Dance", json!({}));
    bench.command("Reset", json!({"type": "Warm"}));
    bench.command("Reset", json!({}));
    assert_eq!(
        bench.take_log(),
        [
            "answer OccurenceConstraintViolation",
            "answer OccurenceConstraintViolation",
            "answer NotImplemented",
            "answer PropertyConstraintViolation",
            "answer OccurenceConstraintViolation"
        ]
    );
}

#[test]
fn a_pending_charger_speaks_when_it_is_spoken_to() {
    let mut bench = Bench::new(|_| {});
    bench.tell(Input::Tick);
    bench.tell(Input::Connected);
    bench.reply(&json!({"status": "Pending", "currentTime": "2026-04-14T12:00:00Z", "interval": 600}));
    bench.take_log();
    bench.pass(MINUTE);
    bench.command("RemoteStartTransaction", json!({"idTag": "T"}));
    bench.command("TriggerMessage", json!({"requestedMessage": "StatusNotification", "connectorId": 1}));
    assert_eq!(
        bench.take_log(),
        [r#"answer {"status":"Rejected"}"#, r#"answer {"status":"Accepted"}"#, "StatusNotification"]
    );
    bench.serve();
    bench.command("TriggerMessage", json!({"requestedMessage": "BootNotification"}));
    bench.serve();
    assert_eq!(
        bench.take_log()[..3],
        [r#"answer {"status":"Accepted"}"#, "BootNotification", "StatusNotification"]
    );
}

#[test]
fn refused_transaction_messages_are_tried_again_then_given_up_and_others_overtake() {
    let mut bench = Bench::booted(|_| {});
    bench.pass(Duration::from_secs(2));
    bench.reply(&answer("Authorize"));
    bench.take_log();
    bench.refuse();
    assert_eq!(bench.take_log(), ["StatusNotification"], "not held up by the start");
    bench.serve();
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.take_log(), [""; 0]);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.take_log(), ["StartTransaction"]);
    bench.refuse();
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.take_log(), [""; 0], "the second wait is twice as long");
    bench.pass(Duration::from_secs(2));
    bench.refuse();
    assert_eq!(bench.take_log(), ["StartTransaction", "gave up StartTransaction", "MeterValues"]);
    bench.serve();
    assert_eq!(bench.last("MeterValues").get("transactionId"), None);
    bench.pass_served(20 * MINUTE);
    assert_eq!(bench.last("StopTransaction")["transactionId"], -1);
}

#[test]
fn a_tag_that_the_start_refuses_ends_the_session() {
    let mut bench = Bench::booted(|_| {});
    bench.pass(Duration::from_secs(2));
    bench.reply(&answer("Authorize"));
    bench.take_log();
    bench.reply(&json!({"transactionId": 5, "idTagInfo": {"status": "ConcurrentTx"}}));
    bench.serve();
    assert_eq!(bench.take_log(), ["StatusNotification", "StatusNotification", "StopTransaction"]);
    let stop = bench.last("StopTransaction");
    assert_eq!((&stop["reason"], &stop["transactionId"]), (&json!("DeAuthorized"), &json!(5)));
}

#[test]
fn silence_ends_in_a_new_socket_and_a_late_answer_counts() {
    let mut bench = Bench::booted(|_| {});
    bench.pass(Duration::from_secs(2));
    bench.reply(&answer("Authorize"));
    let late = bench.calls[bench.calls.len() - 1].0.clone();
    bench.take_log();
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.take_log(), ["StartTransaction"], "sent again after a time-out");
    // The answer to the first try, while the second one's is waited for.
    bench.tell(Input::Text(&json!([3, late, answer("StartTransaction")]).to_string()));
    assert_eq!(bench.take_log(), ["StatusNotification"], "nothing waits any more");
    bench.pass(Duration::from_secs(95));
    let log = bench.take_log();
    assert_eq!(log, ["MeterValues", "MeterValues", "close"], "three silences in a row");
    bench.cut();
    bench.tell(Input::Connected);
    assert_eq!(bench.last("MeterValues")["transactionId"], 4711);
}

#[test]
fn without_a_verdict_the_driver_leaves_unless_the_tag_is_known() {
    let mut bench = Bench::booted(|_| {});
    bench.pass(Duration::from_secs(2));
    bench.take_log();
    bench.refuse();
    bench.serve();
    assert_eq!(bench.take_log(), ["StatusNotification", "finished"]);
    assert_eq!(bench.last("StatusNotification")["status"], "Available");

    let mut bench = Bench::booted(|options| options.sessions = Sessions::Count(2));
    // The second car is plugged in after 607 s, and its tag comes a second later.
    bench.pass_served(Duration::from_millis(607_500));
    bench.take_log();
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.take_log(), ["Authorize"]);
    bench.refuse();
    assert_eq!(bench.take_log(), ["StartTransaction"], "the cache knows the tag");
}

#[test]
fn a_soft_reset_says_goodbye_a_hard_one_does_not() {
    for (kind, expected) in
        [("Soft", vec!["StatusNotification", "StopTransaction", "close"]), ("Hard", vec!["close"])]
    {
        let mut bench = Bench::booted(|options| options.reboot = MINUTE);
        bench.pass_served(2 * MINUTE);
        bench.take_log();
        bench.command("Reset", json!({"type": kind}));
        bench.serve();
        bench.pass(Duration::ZERO);
        let log = bench.take_log();
        assert_eq!(log[0], r#"answer {"status":"Accepted"}"#);
        let close = log.iter().position(|entry| entry == "close").expect("it closes");
        let said: Vec<&str> = log[1..=close].iter().map(String::as_str).collect();
        assert_eq!(said.last(), expected.last(), "{kind}");
        assert_eq!(
            said.contains(&"StopTransaction"),
            expected.contains(&"StopTransaction"),
            "{kind}: {said:?}"
        );
        bench.cut();
        bench.pass(Duration::from_secs(59));
        assert!(!bench.take_log().contains(&"dial".to_owned()), "gone for a minute");
        bench.pass(Duration::from_secs(2));
        bench.tell(Input::Connected);
        bench.serve();
        assert_eq!(bench.take_log()[..2], ["dial", "BootNotification"]);
        assert_eq!(bench.last("StopTransaction")["reason"], format!("{kind}Reset"));
    }
}

#[test]
fn configuration_changes_change_what_it_does() {
    let mut bench = Bench::booted(|options| options.sessions = Sessions::OnlyRemote);
    bench.take_log();
    bench.pass_served(5 * MINUTE);
    assert_eq!(bench.take_log(), ["Heartbeat"], "every 300 s, as the boot was answered");
    bench.command("ChangeConfiguration", json!({"key": "HeartbeatInterval", "value": "60"}));
    bench.take_log();
    bench.pass_served(5 * MINUTE);
    assert_eq!(bench.take_log(), ["Heartbeat"; 5]);
    let key = "00112233445566778899aabbccddeeff";
    bench.command("ChangeConfiguration", json!({"key": "AuthorizationKey", "value": key}));
    assert_eq!(bench.take_log(), [r#"answer {"status":"Accepted"}"#, "close"]);
    assert_eq!(bench.charger.password().map(hex::encode).as_deref(), Some(key));
    bench.cut();
    bench.tell(Input::Connected);
    assert_eq!(bench.take_log(), ["dial"], "it comes back at once, and need not boot");
}

#[test]
fn an_inoperative_connector_takes_no_car() {
    let mut bench = Bench::booted(|options| options.sessions = Sessions::OnlyRemote);
    bench.command("ChangeAvailability", json!({"connectorId": 0, "type": "Inoperative"}));
    bench.serve();
    assert_eq!(bench.last("StatusNotification")["status"], "Unavailable");
    bench.take_log();
    bench.command("RemoteStartTransaction", json!({"idTag": "T"}));
    assert_eq!(bench.take_log(), [r#"answer {"status":"Rejected"}"#]);
}
