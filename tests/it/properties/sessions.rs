//! One connection's mind: every CALL that can be read is answered once, in order, and what comes before
//! or after a message changes nothing about it.

use chargehook::station::session::{Action, Append, Input, Session};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::message::Inbound;
use vocabulary::ocpp::protocol::Protocol;

use super::cases;
use super::odd::{any_bytes, id_of_readable_call};

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

/// What one message led to, the store having taken all of it.
#[derive(Default)]
struct Led {
    stored: Vec<Append>,
    sent: Vec<String>,
    closed: bool,
}

fn feed(session: &mut Session, input: Input<'_>) -> Led {
    let mut led = Led::default();
    let mut actions = session.handle(NOW, input);
    while !actions.is_empty() {
        let mut next = Vec::new();
        for action in actions {
            match action {
                Action::Append(append) => {
                    let answer = matches!(append, Append::Call(_))
                        .then(|| RawValue::from_string(r#"{"n":1}"#.to_owned()).expect("JSON"));
                    led.stored.push(append);
                    next.extend(session.handle(NOW, Input::Stored(answer)));
                }
                Action::Send(text) => led.sent.push(text),
                Action::Close(..) => led.closed = true,
                // Commands may go from now on; here are none.
                Action::Booted => {}
                #[allow(unreachable_patterns, reason = "others may be added")]
                other => panic!("not asked for: {other:?}"),
            }
        }
        actions = next;
    }
    led
}

/// The one CALL that was to be stored.
fn call_of(led: &Led) -> Option<&Inbound> {
    match led.stored.as_slice() {
        [Append::Call(call)] => Some(call),
        _ => None,
    }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn any_sequence_is_answered_call_by_call(messages in prop::collection::vec(any_bytes(), 1..24)) {
        let mut session = Session::new(Protocol::default(), Validation::Lenient);
        for (nth, message) in messages.iter().enumerate() {
            let text = String::from_utf8_lossy(message);
            let led = feed(&mut session, Input::Text(&text));
            prop_assert!(led.sent.len() <= 1 && led.stored.len() <= 1, "{}", text);
            // The same bytes as before are answered from memory; all else is stored.
            prop_assert!(led.stored.len() + led.sent.len() >= 1, "neither kept nor answered: {}", text);
            if let Some(id) = id_of_readable_call(&text) {
                let answer: Option<Vec<Value>> = led.sent.first().and_then(|sent| serde_json::from_str(sent).ok());
                let answer = answer.expect("a readable CALL is answered");
                prop_assert!(answer[0] == 3 || answer[0] == 4);
                prop_assert_eq!(&answer[1], &id);
            }
            if led.closed {
                // Endless junk: the connection is over.
                return Ok(());
            }
            // A neighbour that is well-formed is served as if it were alone.
            let neighbour = format!(r#"[2,"neighbour-{nth}","StatusNotification",{{"connectorId":{nth},"errorCode":"NoError","status":"Available"}}]"#);
            let led = feed(&mut session, Input::Text(&neighbour));
            let call = call_of(&led).expect("stored as a call");
            prop_assert!(neighbour.ends_with(&[call.payload.get(), "]"].concat()));
            prop_assert_eq!(&call.violations, &[]);
            prop_assert_eq!(led.sent, [format!(r#"[3,"neighbour-{nth}",{{"n":1}}]"#)]);
        }
    }

    #[test]
    fn any_binary_message_is_kept_or_ends_the_connection(bytes in any_bytes()) {
        let mut session = Session::new(Protocol::default(), Validation::Strict);
        let led = feed(&mut session, Input::Binary(&bytes));
        prop_assert_eq!(led.stored.len(), 1);
        prop_assert_eq!(led.closed, std::str::from_utf8(&bytes).is_err());
        prop_assert!(led.sent.len() <= 1);
    }
}
