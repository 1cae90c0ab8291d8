//! Conversations as tables of inputs and actions.

use super::*;

const T0: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

/// The actions in a few words.
fn told(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| match action {
            Action::Append(Append::Call(call)) => format!("append {} {}", call.action, call.payload),
            Action::Append(Append::Rejected(rejection)) => {
                format!("reject {} {:?}", rejection.reason.as_str(), rejection.raw)
            }
            Action::Append(Append::CallEnded(ended)) => format!("ended {:?}", ended.end),
            Action::Append(Append::Unexpected(unexpected)) => {
                format!(
                    "unexpected {:?} or reject {} {:?}",
                    unexpected.message_id,
                    unexpected.rejection.reason.as_str(),
                    unexpected.rejection.raw
                )
            }
            Action::Send(text) => format!("send {text}"),
            Action::Booted => "booted".to_owned(),
            Action::Close(code, _) => format!("close {code}"),
        })
        .collect()
}

#[test]
fn an_answer_waits_for_the_commit() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let actions = session.handle(T0, Input::Text(r#"[2,"1","Heartbeat",{}]"#));
    assert_eq!(told(&actions), ["append Heartbeat {}"]);
    let actions = session.handle(T0, Input::Stored(Some(raw(r#"{"currentTime":"x"}"#))));
    assert_eq!(told(&actions), [r#"send [3,"1",{"currentTime":"x"}]"#]);
}

/// What the store says to the message before.
fn stored(session: &mut Session, answer: &str) -> Vec<String> {
    told(&session.handle(T0, Input::Stored(Some(raw(answer)))))
}

fn status(id: &str, status: &str) -> String {
    format!(
        r#"[2,"{id}","StatusNotification",{{"connectorId":1,"errorCode":"NoError","status":"{status}"}}]"#
    )
}

#[test]
fn the_same_bytes_get_the_same_answer_and_no_second_event() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let authorize = r#"[2,"1","Authorize",{"idTag":"A"}]"#;
    session.handle(T0, Input::Text(authorize));
    stored(&mut session, r#"{"n":1}"#);
    let again = session.handle(T0, Input::Text(authorize));
    assert_eq!(told(&again), [r#"send [3,"1",{"n":1}]"#]);
    let other = session.handle(T0, Input::Text(r#"[2,"1","Authorize",{"idTag": "A"}]"#));
    let [Action::Append(Append::Call(call))] = other.as_slice() else { panic!("{other:?}") };
    assert_eq!(call.violations, [Violation::message("reused_message_id")]);
}

#[test]
fn a_repeat_is_compared_with_the_newest_call_of_its_id_alone() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let mut events = 0;
    // The third is the first one's bytes, and the last one a repeat at last.
    for (word, is_new) in [("Available", true), ("Charging", true), ("Available", true), ("Available", false)]
    {
        let text = status("1", word);
        let actions = session.handle(T0, Input::Text(&text));
        match actions.as_slice() {
            [Action::Append(_)] => {
                events += 1;
                assert!(is_new, "{word}");
                stored(&mut session, "{}");
            }
            other => assert!(!is_new, "{word}: {other:?}"),
        }
        // What other ids are used for meanwhile changes nothing.
        session.handle(T0, Input::Text(&status(&format!("other {events}"), word)));
        stored(&mut session, "{}");
    }
    assert_eq!(events, 3);
    // A call that was refused is the newest one, too, and so is one that is always answered anew.
    for between in [r#"[2,"1","Nonsense",{}]"#, r#"[2,"1","Heartbeat",{}]"#, r#"[2,"1","Heart"#] {
        session.handle(T0, Input::Text(between));
        stored(&mut session, "{}");
        let actions = session.handle(T0, Input::Text(&status("1", "Available")));
        assert!(matches!(actions.as_slice(), [Action::Append(_)]), "after {between}: {actions:?}");
        stored(&mut session, "{}");
    }
}

#[test]
fn a_repeat_comes_within_a_minute_by_the_hand_that_never_jumps() {
    let moment = |wall_s: u64, monotonic_s: u64| Now {
        wall: T0.after(std::time::Duration::from_secs(wall_s)),
        monotonic: T0.after(std::time::Duration::from_secs(monotonic_s)),
    };
    let is_new = |session: &mut Session, now: Now| {
        let actions = session.handle(now, Input::Text(&status("1", "Available")));
        let is_new = matches!(actions.as_slice(), [Action::Append(_)]);
        session.handle(now, Input::Stored(Some(raw("{}"))));
        is_new
    };
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    assert!(is_new(&mut session, moment(0, 0)));
    // The machine's clock is set, which says nothing.
    assert!(!is_new(&mut session, moment(90_000, 30)));
    assert!(!is_new(&mut session, moment(0, 60)));
    // A repeat has not made it any newer.
    assert!(is_new(&mut session, moment(0, 61)));
    assert!(!is_new(&mut session, moment(0, 100)));
}

#[test]
fn an_answer_that_is_a_clock_is_given_anew() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let boot = r#"[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]"#;
    for text in [r#"[2,"1","Heartbeat",{}]"#, boot, r#"[2,"1","heartbeat",{}]"#] {
        for time in ["x", "y"] {
            let actions = session.handle(T0, Input::Text(text));
            assert!(matches!(actions.as_slice(), [Action::Append(Append::Call(_))]), "{text}: {actions:?}");
            let answer = format!(r#"{{"currentTime":"{time}"}}"#);
            assert_eq!(stored(&mut session, &answer)[0], format!(r#"send [3,"1",{answer}]"#));
        }
    }
}

#[test]
fn what_cannot_be_served_is_kept_and_refused_where_the_sender_can_be_told() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let actions = session.handle(T0, Input::Text(r#"[2,"1","Frobnicate",{}]"#));
    assert_eq!(told(&actions), [r#"reject unknown_action Some("[2,\"1\",\"Frobnicate\",{}]")"#]);
    let actions = session.handle(T0, Input::Stored(None));
    assert_eq!(
        told(&actions),
        [r#"send [4,"1","NotImplemented","charge points send no \"Frobnicate\" in OCPP 1.6",{}]"#]
    );
    assert_eq!(told(&session.handle(T0, Input::Text("PING"))), [r#"reject malformed_json Some("PING")"#]);
    assert_eq!(told(&session.handle(T0, Input::Stored(None))), [""; 0]);
    let actions = session.handle(T0, Input::Text(r#"[3,"77",{}]"#));
    assert_eq!(told(&actions), [r#"unexpected "77" or reject unknown_call Some("[3,\"77\",{}]")"#]);
}

#[test]
fn a_message_that_cannot_be_read_off_the_socket_ends_it() {
    for (reason, code) in [(Unserveable::TooLarge, 1009), (Unserveable::NotUtf8, 1007)] {
        let mut session = Session::new(Protocol::default(), Validation::Lenient);
        let actions = session.handle(T0, Input::Unreadable { reason, size: 9 });
        assert_eq!(told(&actions), [format!("reject {} None", reason.as_str())]);
        assert_eq!(told(&session.handle(T0, Input::Stored(None))), [format!("close {code}")]);
    }
}

fn command(n: u128) -> (Outgoing, String) {
    let id = CommandId::from_value(n);
    let outgoing = Outgoing {
        id,
        action: "ClearCache".parse().expect("an action"),
        payload: raw("{}"),
        timeout: std::time::Duration::from_secs(30),
    };
    (outgoing, outgoing::message_id(id).text())
}

/// A conversation in which we have called, and the id we called under.
fn called() -> (Session, String) {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let (outgoing, id) = command(7);
    assert!(session.may_call());
    let actions = session.handle(T0, Input::Command(outgoing));
    assert_eq!(told(&actions), [format!(r#"send [2,"{id}","ClearCache",{{}}]"#)]);
    assert!(!session.may_call());
    (session, id)
}

#[test]
fn what_answers_our_call_ends_it() {
    let check = |answer: &str, expected: &str| {
        let (mut session, id) = called();
        let actions = session.handle(T0, Input::Text(&answer.replace("ID", &id)));
        assert_eq!(told(&actions), [expected.replace("ID", &id)], "{answer}");
        assert!(session.may_call());
        assert_eq!(told(&session.handle(T0, Input::Stored(None))), [""; 0]);
    };
    check(r#"[3,"ID",{"status":"Accepted"}]"#, r#"ended Answered(RawValue({"status":"Accepted"}))"#);
    check(r#"[3,"ID",null]"#, "ended Answered(RawValue({}))");
    check(
        r#"[3,"ID",{"configurationKey":[]"#,
        r#"ended Malformed { raw: "[3,\"ID\",{\"configurationKey\":[]" }"#,
    );
    check(r#"[3,"ID",[]]"#, "ended Answered(RawValue({}))");
    check(r#"[3,"ID",[1]]"#, r#"ended Malformed { raw: "[3,\"ID\",[1]]" }"#);
    check(
        r#"[4,"ID","NotSupported"]"#,
        r#"ended Refused(CallError { id: "ID", code: "NotSupported", description: "", details: RawValue({}) })"#,
    );
}

#[test]
fn an_answer_to_another_call_leaves_ours_open() {
    let (mut session, id) = called();
    let (_, other) = command(8);
    for answer in [format!(r#"[3,"{other}",{{}}]"#), format!(r#"[4,"{other}","GenericError"]"#)] {
        let told = told(&session.handle(T0, Input::Text(&answer)));
        assert!(told[0].starts_with(&format!(r#"unexpected "{other}" or reject unknown_call"#)), "{told:?}");
        session.handle(T0, Input::Stored(None));
        assert!(!session.may_call());
    }
    session.handle(T0, Input::Text(&format!(r#"[3,"{id}",{{}}]"#)));
    assert!(session.may_call());
}

#[test]
fn while_our_call_is_open_the_chargers_are_served() {
    let (mut session, id) = called();
    let actions = session.handle(T0, Input::Text(r#"[2,"1","Heartbeat",{}]"#));
    assert_eq!(told(&actions), ["append Heartbeat {}"]);
    assert_eq!(told(&session.handle(T0, Input::Stored(Some(raw("{}"))))), [r#"send [3,"1",{}]"#]);
    assert!(!session.may_call());
    // The charger's call may even have the id of ours: both sides count for themselves.
    let twin = session.handle(T0, Input::Text(&format!(r#"[2,"{id}","Heartbeat",{{}}]"#)));
    assert_eq!(told(&twin), ["append Heartbeat {}"]);
}

#[test]
fn a_call_that_timed_out_makes_room_and_its_answer_is_late() {
    let (mut session, id) = called();
    assert_eq!(told(&session.handle(T0, Input::TimedOut)), ["ended TimedOut"]);
    session.handle(T0, Input::Stored(None));
    assert!(session.may_call());
    assert_eq!(told(&session.handle(T0, Input::TimedOut)), [""; 0], "there is nothing to give up");
    let late = told(&session.handle(T0, Input::Text(&format!(r#"[3,"{id}",{{}}]"#))));
    assert!(late[0].starts_with(&format!(r#"unexpected "{id}""#)), "{late:?}");
}

#[test]
fn a_boot_that_was_answered_is_told_of() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let boot = r#"[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]"#;
    session.handle(T0, Input::Text(boot));
    let actions = session.handle(T0, Input::Stored(Some(raw("{}"))));
    assert_eq!(told(&actions), [r#"send [3,"1",{}]"#, "booted"]);
}

#[test]
fn endless_junk_closes_the_socket_but_a_little_does_not() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    for frame in 0..=TOLERATED_JUNK {
        session.handle(T0, Input::Text(&format!("junk {frame}")));
        let actions = session.handle(T0, Input::Stored(None));
        let expected: &[&str] = if frame == TOLERATED_JUNK { &["close 1002"] } else { &[] };
        assert_eq!(told(&actions), expected, "frame {frame}");
    }
}

#[test]
fn behind_the_goodbye_calls_are_served_and_junk_is_passed_over() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    session.handle(T0, Input::Binary(b"\xff"));
    assert_eq!(told(&session.handle(T0, Input::Stored(None))), ["close 1003"]);
    assert_eq!(told(&session.handle(T0, Input::Binary(b"\xff"))), [""; 0]);
    assert_eq!(told(&session.handle(T0, Input::Text("junk"))), [""; 0]);
    assert_eq!(told(&session.handle(T0, Input::Text(r#"[2,"1","Heartbeat",{}]"#))), ["append Heartbeat {}"]);
    assert_eq!(stored(&mut session, "{}"), [r#"send [3,"1",{}]"#]);
}

#[test]
fn broken_answers_are_no_junk() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    for id in 0..=TOLERATED_JUNK {
        session.handle(T0, Input::Text(&format!(r#"[3,"{id}",{{"configurationKey":[]"#)));
        assert_eq!(told(&session.handle(T0, Input::Stored(None))), [""; 0]);
    }
}

#[test]
fn binary_json_is_served_and_flagged() {
    let mut session = Session::new(Protocol::default(), Validation::Lenient);
    let actions = session.handle(T0, Input::Binary(br#"[2,"1","Heartbeat",{}]"#));
    let [Action::Append(Append::Call(call))] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(call.violations, [Violation::message("binary_frame")]);
}
