//! A charger that answers commands as a script says.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Charger, Running, call, eventually, http_client};

/// A CALL of the gateway, as it came.
pub(crate) struct Called {
    pub(crate) id: String,
    pub(crate) action: String,
    pub(crate) payload: Value,
    /// The whole frame, to the byte.
    pub(crate) text: String,
}

impl Charger {
    /// The next CALL of the gateway.
    pub(crate) async fn called(&mut self) -> Called {
        let text = self.receive().await;
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&frame[0], frame.as_array().map(Vec::len)),
            (&json!(2), Some(4)),
            "a CALL was due: {text}"
        );
        assert!(frame[3].is_object(), "{text}");
        let word = |at: usize| frame[at].as_str().expect("a text").to_owned();
        assert!((1..=36).contains(&word(1).len()), "{text}");
        Called { id: word(1), action: word(2), payload: frame[3].clone(), text }
    }

    /// Sends a CALLRESULT.
    pub(crate) async fn answer(&mut self, id: &str, payload: Value) {
        self.send(&json!([3, id, payload]).to_string()).await;
    }
}

/// Asks for a command beside the test, as an integrator would.
pub(crate) fn ask(gateway: &Running, station: &str, body: Value) -> JoinHandle<(u16, Value)> {
    let (api, path) = (gateway.gateway.api_addr(), format!("/stations/{station}/commands"));
    tokio::spawn(async move { call(&http_client(), api, "POST", &path, Some(body)).await })
}

/// The answer to whoever [asked](ask).
pub(crate) async fn asked(asking: JoinHandle<(u16, Value)>) -> (u16, Value) {
    asking.await.expect("asks to the end")
}

/// Waits until the command has this status.
pub(crate) async fn reaches(gateway: &Running, command: &Value, status: &str) -> Value {
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    eventually(status, || async {
        let found = gateway.get(&path).await;
        (found["status"] == status).then_some(found)
    })
    .await
}

/// Asks the station of this charger for something, which comes to it as asked and is answered with
/// `response`: the command as it has ended.
pub(crate) async fn obey(
    gateway: &Running,
    charger: &mut Charger,
    station: &str,
    action: &str,
    payload: Value,
    response: Value,
) -> Value {
    let asking = ask(gateway, station, json!({"action": action, "payload": payload}));
    let called = charger.called().await;
    assert_eq!(
        (called.action.as_str(), &called.payload),
        (action, &payload),
        "sent as asked: {}",
        called.text
    );
    charger.answer(&called.id, response.clone()).await;
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["status"]), (200, &json!("completed")), "{command}");
    assert_eq!(command["response"], response);
    command
}

/// Asks for what may not be sent: the fields that are wrong.
pub(crate) async fn refused(gateway: &Running, station: &str, action: &str, payload: Value) -> Vec<String> {
    let body = json!({"action": action, "payload": payload});
    let (status, problem) = gateway.api("POST", &format!("/stations/{station}/commands"), Some(body)).await;
    assert_eq!(status, 422, "{action} {payload}: {problem}");
    let errors = problem["errors"].as_array().expect("a list");
    errors.iter().map(|error| error["field"].as_str().expect("a path").to_owned()).collect()
}
