//! Golden conversations: what takes more than one frame, through a real socket.
//!
//! Every `.talk` file under `tests/golden/1.6/` is one conversation with a gateway of its own. The charger's
//! lines are written by hand:
//!
//! | line | does |
//! |---|---|
//! | `# …` | says what it is about |
//! | `station {…}` | registers the station with these members |
//! | `> …` | sends a frame; in quotes it is a JSON string, for bytes that no editor shows |
//! | `>> …` | sends a frame together with the one after it, before any answer |
//! | `takeover` | connects anew while the old socket is still open |
//! | `command {…}` | asks for a command over the API, without waiting, and hears its CALL |
//!
//! The rest is what comes of it, written by the test with `UPDATE_GOLDEN=1`: `<` lines are the gateway's,
//! those under the dashes tell what is on record. The clock stands still but for a second before each line
//! of the charger's. `{T1}` is the first transaction's number, `{C1}` the message id of the first command.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use store::test_store::rows;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use vocabulary::clock::{Clock, Timestamp};

use crate::golden::{NOW, files, given, name, unquoted};
use crate::harness::{Charger, DEADLINE, Running, start_by};

const STATION: &str = "CP";

/// A row of the store's event table: what the API shows, with the payload's own bytes.
pub(crate) struct Stored {
    pub(crate) event: String,
    pub(crate) message_id: Option<String>,
    pub(crate) payload: String,
    pub(crate) response: Option<String>,
    pub(crate) violations: Vec<Value>,
    pub(crate) duplicate: bool,
    pub(crate) transaction_id: Option<i64>,
    pub(crate) occurred_at: Option<Timestamp>,
}

/// A station's events in the order of their commit.
pub(crate) fn stored(gateway: &Running, station: &str) -> Vec<Stored> {
    let select =
        "SELECT event, message_id, payload, response, coalesce(violations, '[]'), duplicate_of IS NOT NULL,
                    transaction_id, occurred_at_ms
             FROM events WHERE station_id = ?1 ORDER BY seq";
    let text = |cell: &Value| cell.as_str().map(str::to_owned);
    rows(gateway.data_dir(), select, &[station])
        .into_iter()
        .map(|row: [Value; 8]| Stored {
            event: text(&row[0]).expect("a text"),
            message_id: text(&row[1]),
            payload: text(&row[2]).expect("a text"),
            response: text(&row[3]),
            violations: serde_json::from_str(row[4].as_str().expect("a text")).expect("a list"),
            duplicate: row[5] == 1,
            transaction_id: row[6].as_i64(),
            occurred_at: row[7].as_i64().map(Timestamp::from_unix_ms),
        })
        .collect()
}

/// One conversation under way.
struct Talk {
    gateway: Running,
    clock: Clock,
    charger: Charger,
    /// Sockets that were taken over, kept open.
    old: Vec<Charger>,
    sent: Vec<String>,
    probes: u32,
    /// Numbers of transactions and message ids of commands, which are different every time, and their names.
    names: Vec<(String, String)>,
    commands: usize,
    transactions: usize,
    out: String,
}

impl Talk {
    async fn begin(register: Option<Value>) -> Self {
        let clock = Clock::manual(NOW);
        let dir = tempfile::tempdir().expect("a directory");
        let gateway = start_by(clock.clone(), dir, |_| {}).await;
        if let Some(mut body) = register {
            body["station_id"] = json!(STATION);
            let (status, made) = gateway.api("POST", "/stations", Some(body)).await;
            assert_eq!(status, 201, "{made}");
        }
        let charger = gateway.charger(STATION).await;
        Self {
            gateway,
            clock,
            charger,
            old: Vec::new(),
            sent: Vec::new(),
            probes: 0,
            names: Vec::new(),
            commands: 0,
            transactions: 0,
            out: String::new(),
        }
    }

    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (chance, name)| text.replace(chance, name))
    }

    fn meant(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (chance, name)| text.replace(name, chance))
    }

    /// Learns the number of a transaction that a start is answered with.
    fn learn_transaction(&mut self, answer: &Value) {
        let Some(number) = answer[2]["transactionId"].as_i64().map(|number| number.to_string()) else {
            return;
        };
        if !self.names.iter().any(|(known, _)| *known == number) {
            self.transactions += 1;
            self.names.push((number, format!("{{T{}}}", self.transactions)));
        }
    }

    async fn command(&mut self, body: &str) {
        let mut body: Value = serde_json::from_str(&self.meant(body)).expect("JSON");
        body["wait"] = json!(false);
        let (status, made) =
            self.gateway.api("POST", &format!("/stations/{STATION}/commands"), Some(body)).await;
        assert_eq!(status, 202, "{made}");
        let text = self.charger.receive().await;
        let call: Value = serde_json::from_str(&text).expect("JSON");
        self.commands += 1;
        self.names.push((call[1].as_str().expect("a text").to_owned(), format!("{{C{}}}", self.commands)));
        let _ = writeln!(self.out, "< {}", self.named(&text));
    }

    async fn line(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
        self.clock.advance(Duration::from_secs(1));
        if line.starts_with('#') {
            // A remark between two frames.
        } else if let Some(frame) = line.strip_prefix(">> ") {
            self.feed(frame).await;
        } else if let Some(frame) = line.strip_prefix("> ") {
            self.feed(frame).await;
            self.hear().await;
        } else if let Some(body) = line.strip_prefix("command ") {
            self.command(body).await;
        } else if line == "takeover" {
            let new = self.gateway.charger(STATION).await;
            self.old.push(std::mem::replace(&mut self.charger, new));
            self.hear().await;
        } else {
            panic!("not a line of a conversation: {line}");
        }
    }

    async fn feed(&mut self, frame: &str) {
        let frame = self.meant(&unquoted(frame));
        self.charger.socket.feed(Message::text(frame.clone())).await.expect("queues");
        self.sent.push(frame);
    }

    /// Writes down all that the gateway says before it answers a call that is sent behind the others.
    async fn hear(&mut self) {
        self.probes += 1;
        let probe = format!("probe-{}", self.probes);
        // A gateway that closes the socket answers nothing more.
        let _ = self.charger.socket.send(Message::text(json!([2, probe, "Heartbeat", {}]).to_string())).await;
        loop {
            let heard = timeout(DEADLINE, self.charger.socket.next()).await.expect("something in time");
            match heard {
                Some(Ok(Message::Text(text))) if text.starts_with(&format!("[3,\"{probe}\"")) => break,
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    self.learn_transaction(&frame);
                    let _ = writeln!(self.out, "< {}", self.named(&text));
                }
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map(|frame| u16::from(frame.code));
                    let _ = writeln!(self.out, "closed with {code:?}");
                    break;
                }
                Some(Ok(_)) => {}
                other => panic!("the socket ended without a close frame: {other:?}"),
            }
        }
    }

    /// What is on record when all is said.
    async fn end(mut self) -> String {
        self.out.push_str("---\n");
        for event in stored(&self.gateway, STATION) {
            let is_probe = event.message_id.as_deref().is_some_and(|id| id.starts_with("probe-"));
            if !is_probe && (event.event == "MessageRejected" || !event.event.starts_with("Station")) {
                self.tell(&event);
            }
        }
        let transactions = self.gateway.get("/transactions?order=asc").await;
        for (transaction, nth) in transactions["data"].as_array().expect("a list").iter().zip(1..) {
            let of = |field: &str| transaction[field].clone();
            let marks = ["orphaned", "inferred"].map(|mark| if of(mark) == true { mark } else { "" });
            let marks = marks.join(" ");
            let _ = writeln!(
                self.out,
                "transaction {{T{nth}}} on {}: {} {} from {} to {} Wh: {} Wh {}",
                of("connector_id"),
                of("status").as_str().expect("a word"),
                marks.trim(),
                of("meter_start"),
                of("meter_stop"),
                of("energy_wh"),
                of("energy_quality").as_str().expect("a word"),
            );
        }
        let connectors = self.gateway.get(&format!("/stations/{STATION}/connectors")).await;
        for connector in connectors["data"].as_array().expect("a list") {
            let _ = writeln!(
                self.out,
                "connector {}: {} {}",
                connector["connector_id"], connector["status"], connector["error_code"]
            );
        }
        if self.commands > 0 {
            self.tell_commands().await;
        }
        let station = self.gateway.get(&format!("/stations/{STATION}")).await;
        let _ = writeln!(self.out, "flags {}", station["flags"]);
        if station["abilities"].as_array().is_some_and(|abilities| !abilities.is_empty()) {
            let _ = writeln!(self.out, "abilities {}", station["abilities"]);
        }
        self.out
    }

    async fn tell_commands(&mut self) {
        let commands = self.gateway.get(&format!("/stations/{STATION}/commands?order=asc")).await;
        for (command, nth) in commands["data"].as_array().expect("a list").iter().zip(1..) {
            let of = |field: &str| self.named(&command[field].to_string());
            let mut told = format!("command {{C{nth}}}: {}, accepted {}", of("status"), of("accepted"));
            for field in ["response", "late_response", "error", "outcome"] {
                if !command[field].is_null() {
                    let _ = write!(told, ", {field} {}", of(field));
                }
            }
            let _ = writeln!(self.out, "{told}");
            for violation in command["violations"].as_array().into_iter().flatten() {
                let _ = writeln!(self.out, "    {}", told_violation(violation));
            }
        }
    }

    fn tell(&mut self, event: &Stored) {
        let mut told = event.event.clone();
        if let Some(id) = &event.message_id {
            let _ = write!(told, " {:?}", self.named(id));
        }
        if event.event == "MessageRejected" {
            let payload: Value = serde_json::from_str(&event.payload).expect("JSON");
            let raw = payload["raw"].as_str().unwrap_or_else(|| panic!("the text is kept: {payload}"));
            assert!(self.sent.iter().any(|frame| frame == raw), "kept otherwise than sent: {raw}");
            assert_eq!(payload["size"], raw.len());
            let _ = write!(told, ": {} {}", payload["reason"], payload["answer"]);
        } else if event.event.starts_with("TransactionCo") {
            let bill: Value = serde_json::from_str(&event.payload).expect("JSON");
            let values = bill["meter_values"].as_array().map_or(0, Vec::len);
            let _ = write!(told, " {}: {values} meter values", bill["revision"]);
            for list in ["missing", "changed"] {
                if bill[list].as_array().is_some_and(|names| !names.is_empty()) {
                    let _ = write!(told, ", {list} {}", bill[list]);
                }
            }
        } else if !was_sent(&self.sent, event) {
            let _ = write!(told, ", kept as {}", self.named(&event.payload));
        }
        if event.duplicate {
            told.push_str(", a duplicate");
        }
        if let Some(occurred_at) = event.occurred_at {
            let _ = write!(told, ", at {occurred_at}");
        }
        if let Some(number) = event.transaction_id {
            let _ = write!(told, ", of {}", self.named(&number.to_string()));
        }
        let _ = writeln!(self.out, "{told}");
        for violation in &event.violations {
            let _ = writeln!(self.out, "    {}", told_violation(violation));
        }
    }
}

/// A violation as the golden files write it.
fn told_violation(violation: &Value) -> String {
    let field = violation["field"].as_str().unwrap_or("(message)");
    format!("violation {field}: {}", violation["problem"].as_str().expect("a text"))
}

/// Whether the event's payload is, byte for byte, what a frame with its id carried; the number of a
/// started transaction is the only thing that is ever added.
fn was_sent(sent: &[String], event: &Stored) -> bool {
    let with_number = |payload: &str| match (event.event.as_str(), event.transaction_id) {
        ("StartTransaction", Some(number)) => {
            let open = payload.strip_suffix('}').expect("an object").trim_end();
            let comma = if open.ends_with('{') { "" } else { "," };
            format!("{open}{comma}\"transactionId\":{number}}}")
        }
        _ => payload.to_owned(),
    };
    sent.iter().any(|frame| {
        let json = frame.trim_start_matches('\u{feff}').trim_end_matches(['\0', '\r', '\n']);
        let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
        let payload = elements.get(3).map_or("{}", |payload| payload.get());
        let payload = if payload == "null" { "{}" } else { payload };
        event.payload == with_number(payload)
    })
}

async fn serve(text: &str) -> String {
    let (comments, rest) = text.split_at(text.find("\n>").expect("a frame") + 1);
    let register = comments.lines().find_map(|line| line.strip_prefix("station "));
    let mut talk = Talk::begin(register.map(|body| serde_json::from_str(body).expect("JSON"))).await;
    talk.out.push_str(comments);
    let ours = |line: &&str| !line.starts_with('<') && !line.starts_with("closed ");
    for line in rest.lines().take_while(|line| *line != "---").filter(ours) {
        talk.line(line).await;
    }
    talk.end().await
}

#[tokio::test]
async fn every_conversation_goes_as_written_down() {
    let mut differing = Vec::new();
    for file in files("talk") {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let served = serve(&text).await;
        if served == text {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, served).expect("a writable file");
        } else {
            differing.push(format!("{}:\n{served}", name(&file)));
        }
    }
    assert!(differing.is_empty(), "not as written down:\n{}", differing.join("\n"));
}

#[tokio::test]
async fn case_86_every_golden_frame_is_answered_and_kept_through_a_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = start_by(Clock::manual(NOW), dir, |config| {
        config.ocpp.data_transfer_vendors = vec!["com.example".into()];
    })
    .await;
    for (file, nth) in files("golden").iter().zip(0..) {
        let text = std::fs::read_to_string(file).expect("a readable file");
        let frame = unquoted(given(&text).1);
        let station = format!("CP_{nth}");
        let mut charger = gateway.charger(&station).await;
        charger.boot().await;
        charger.send(&frame).await;
        let answer = charger.receive().await;
        let event = stored(&gateway, &station).pop().expect("an event");
        let expected = text.lines().rev().find_map(|line| line.strip_prefix("< ")).expect("an answer");
        if let Some(number) = event.transaction_id.filter(|_| event.event == "StartTransaction") {
            assert_eq!(answer, expected.replace("123456789", &number.to_string()), "{}", name(file));
        } else if expected.starts_with('[') {
            assert_eq!(answer, expected, "{}", name(file));
        } else {
            assert!(answer.contains(&format!(",\"{expected}\",")), "{}: {answer}", name(file));
            assert_eq!(event.event, "MessageRejected", "{}", name(file));
            continue;
        }
        assert!(was_sent(&[frame], &event), "{}: kept as {}", name(file), event.payload);
        let answered = event.response.as_deref().expect("an answer");
        assert!(answer.ends_with(&format!(",{answered}]")), "{}: {answer} is not {answered}", name(file));
        let occurred = text.lines().find_map(|line| line.strip_prefix("occurred "));
        assert_eq!(event.occurred_at.map(|at| at.to_string()).as_deref(), occurred, "{}", name(file));
        for line in text.lines().filter(|line| line.starts_with("violation ")) {
            let told = event.violations.iter().any(|violation| line == told_violation(violation));
            assert!(told, "{}: {line} is not among {:?}", name(file), event.violations);
        }
    }
}
