//! A charger as it is in the world: it charges, forgets nothing it was not told is safe, and sends some
//! things twice, late, out of order or broken.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::chance::Dice;
use super::commands::Asked;
use crate::station::session::Session;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// What chargers of the real world were seen to send, broken frames among them.
static SEEN: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1.6");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of golden frames")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let text = |file: &std::path::PathBuf| std::fs::read_to_string(file).expect("text");
    let frame = |text: String| text.lines().find_map(|line| line.strip_prefix("> ")).map(str::to_owned);
    let frames: Vec<String> = files.iter().map(text).filter_map(frame).collect();
    assert!(frames.len() > 20, "the golden frames are there");
    frames
});

const CONNECTORS: usize = 2;

/// What a charger holds until it is told that it is safe.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) says: Says,
    /// The id it was last sent with.
    id: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Says {
    /// A CALL: action and payload.
    Call(&'static str, Value),
    /// A session begins on this connector.
    Start(usize, Value),
    /// The session that this connector began last ends; the number is filled in when it is known.
    Stop { connector: usize, payload: Value, number: Option<i64> },
    /// Anything at all; nobody waits for an answer.
    Oddity(String),
}

#[derive(Debug, Default)]
struct Connector {
    charging: bool,
    /// The number the gateway gave to the session that began last.
    number: Option<i64>,
}

/// An open socket.
pub(super) struct Line {
    pub(super) generation: u64,
    pub(super) session: Session,
    pub(super) began: Timestamp,
    /// What we have asked it, or had, if an answer may still come.
    pub(super) asked: Option<Asked>,
}

pub(super) struct Charger {
    pub(super) id: StationId,
    pub(super) line: Option<Line>,
    pub(super) queue: VecDeque<Message>,
    connectors: [Connector; CONNECTORS],
    meter_wh: i64,
    sent: u64,
}

impl Charger {
    pub(super) fn new(nth: usize) -> Self {
        Self {
            id: StationId::new(&format!("CP_{nth:02}")).expect("legal"),
            line: None,
            queue: [Message { says: boot(), id: None }].into(),
            connectors: Default::default(),
            meter_wh: 0,
            sent: 0,
        }
    }

    /// The charger's own account of a start, by which a retry of it is known.
    pub(super) fn start_key(&self, payload: &Value) -> String {
        format!("{} {payload}", self.id)
    }

    /// Something happens at the charger, and it wants to tell.
    pub(super) fn live(&mut self, dice: &mut Dice, now: Timestamp) {
        let nth = dice.below(CONNECTORS);
        let connector_id = nth + 1;
        self.meter_wh += 1 + dice.below(500) as i64;
        let meter_wh = self.meter_wh;
        let tag = format!("TAG{}", dice.below(5));
        let connector = &mut self.connectors[nth];
        let says = match dice.below(20) {
            0..=3 if !connector.charging => {
                connector.charging = true;
                let payload = json!({"connectorId": connector_id, "idTag": tag, "meterStart": meter_wh, "timestamp": now});
                Says::Start(nth, payload)
            }
            0..=3 => {
                connector.charging = false;
                let payload =
                    json!({"idTag": tag, "meterStop": meter_wh, "timestamp": now, "reason": "Local"});
                // Some send the stop with the number of nobody's session rather than wait for theirs.
                let number = dice.one_in(10).then_some(-1);
                Says::Stop { connector: nth, payload, number }
            }
            4..=8 => {
                let value = json!({"timestamp": now, "sampledValue": [{"value": meter_wh.to_string(), "unit": "Wh"}]});
                let mut payload = json!({"connectorId": connector_id, "meterValue": [value]});
                if let Some(number) = connector.number {
                    payload["transactionId"] = number.into();
                }
                Says::Call("MeterValues", payload)
            }
            9..=10 => Says::Call("Heartbeat", json!({})),
            11..=12 => Says::Call("Authorize", json!({"idTag": tag})),
            13..=15 => {
                let status = ["Available", "Charging", "Faulted"][dice.below(3)];
                let payload = json!({"connectorId": connector_id, "errorCode": "NoError", "status": status, "timestamp": now});
                Says::Call("StatusNotification", payload)
            }
            16 => boot(),
            17 => Says::Call("DataTransfer", json!({"vendorId": "com.example", "data": {"n": meter_wh}})),
            18 => Says::Oddity(SEEN[dice.below(SEEN.len())].clone()),
            _ => Says::Oddity(broken(dice)),
        };
        self.queue.push_back(Message { says, id: None });
        // Firmware with two queues: what ends a session overtakes what began it.
        if self.queue.len() > 1 && dice.one_in(15) {
            let last = self.queue.len() - 1;
            self.queue.swap(last, last - 1);
        }
    }

    /// The oldest message as it goes out now, with the id it had or a new one.
    pub(super) fn next_text(&mut self, dice: &mut Dice) -> Option<String> {
        let connectors = &self.connectors;
        let message = self.queue.front_mut()?;
        let (action, payload) = match &mut message.says {
            Says::Oddity(text) => return Some(text.clone()),
            Says::Call(action, payload) => (*action, payload.clone()),
            Says::Start(_, payload) => ("StartTransaction", payload.clone()),
            Says::Stop { connector, payload, number } => {
                // Whatever it says the first time it says again.
                let number = *number.get_or_insert(connectors[*connector].number.unwrap_or(0));
                let mut payload = payload.clone();
                payload["transactionId"] = number.into();
                ("StopTransaction", payload)
            }
        };
        let again = message.id.take().filter(|_| dice.one_in(2));
        let id = again.unwrap_or_else(|| {
            self.sent += 1;
            format!("{}-{}", self.id, self.sent)
        });
        let text = json!([2, id, action, payload]).to_string();
        message.id = Some(id);
        Some(text)
    }

    /// The oldest message was answered, or needs no answer.
    pub(super) fn told(&mut self, answer: Option<&Value>) -> Option<Message> {
        let message = self.queue.pop_front()?;
        if let (Says::Start(connector, _), Some(answer)) = (&message.says, answer) {
            self.connectors[*connector].number = answer["transactionId"].as_i64();
        }
        Some(message)
    }
}

fn boot() -> Says {
    Says::Call("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"}))
}

/// A real frame of which something was lost or changed on the way.
fn broken(dice: &mut Dice) -> String {
    let mut bytes = SEEN[dice.below(SEEN.len())].clone().into_bytes();
    for _ in 0..=dice.below(2) {
        let at = dice.below(bytes.len().max(1));
        match dice.below(3) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            _ => bytes
                .splice(at..at, [b'"', b'{', b',', b'\\', 0][dice.below(5)..].iter().take(1).copied())
                .for_each(drop),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
