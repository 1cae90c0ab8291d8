//! The same through a real socket and the real store: whatever stands beside it, a good message is served.

use futures_util::SinkExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::odd::{any_bytes, id_of_readable_call};
use crate::harness::{ADMIN_KEY, Charger, Running, http_client, start};

/// Messages to send; `PROPTEST_CASES` asks for another number.
const MESSAGES: u32 = 300;

/// Texts from one fixed seed, so that a failure can be looked at again.
fn texts() -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let strategy = any_bytes();
    (0..super::cases(MESSAGES).cases)
        .map(|_| {
            let bytes = strategy.new_tree(&mut runner).expect("a value").current();
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .collect()
}

/// Sends `text` and a heartbeat behind it; all that is answered up to the heartbeat's own answer. `None`
/// if the gateway has had enough of this connection.
async fn answers(charger: &mut Charger, text: &str, mark: &str) -> Option<Vec<Value>> {
    charger.send(text).await;
    charger.socket.send(Message::text(format!(r#"[2,"{mark}","Heartbeat",{{}}]"#))).await.ok()?;
    let mut answers = Vec::new();
    loop {
        let answer: Value = serde_json::from_str(&charger.receive_or_closed().await?).expect("JSON");
        if answer[1] == mark {
            assert_eq!(answer[0], 3, "the neighbour of {text:?}: {answer}");
            return Some(answers);
        }
        answers.push(answer);
    }
}

/// A page of events, without what is in their payloads.
#[derive(Deserialize)]
struct Page {
    data: Vec<Row>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    category: String,
    event: String,
}

/// How many messages of a station are on record.
async fn kept(gateway: &Running, station: &str) -> usize {
    let http = http_client();
    let (mut kept, mut cursor) = (0, String::new());
    loop {
        let url = gateway.url(&format!("/api/v1/events?station_id={station}&order=asc&limit=500{cursor}"));
        let page = http.get(url).header("X-API-Key", ADMIN_KEY).send().await.expect("answers");
        let page: Page = page.json().await.expect("JSON, whatever is in it");
        let is_message = |row: &&Row| row.category == "ocpp" || row.event == "MessageRejected";
        kept += page.data.iter().filter(is_message).count();
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return kept,
        }
    }
}

#[tokio::test]
async fn any_frames_leave_their_neighbours_alone() {
    let gateway = start(|config| config.limits.message_burst = 1_000_000).await;
    let mut charger = gateway.charger("ANY").await;
    let (mut sent, mut connections) = (0, 1);
    for (nth, text) in texts().iter().enumerate() {
        let mark = format!("mark-{nth}");
        sent += 1;
        let Some(answers) = answers(&mut charger, text, &mark).await else {
            // Twenty frames a minute that say nothing at all end a connection; its successor goes on.
            charger = gateway.charger("ANY").await;
            connections += 1;
            continue;
        };
        sent += 1;
        match id_of_readable_call(text) {
            Some(id) => {
                assert_eq!(answers.len(), 1, "{text:?}: {answers:?}");
                assert_eq!(answers[0][1], id, "{text:?}");
            }
            None => assert!(answers.len() <= 1, "{text:?}: {answers:?}"),
        }
    }
    charger.still_serves().await;
    // Repeated bytes get the stored answer and no event; nothing else may be missing. Of the marks behind a
    // frame that ended its connection some have been received, and are kept like anything else.
    let kept = kept(&gateway, "ANY").await;
    assert!(kept <= sent + connections && kept * 10 >= sent * 9, "{kept} events of {sent} messages");
    assert!(connections * 20 <= sent + 20, "{connections} connections for {sent} messages");
}
