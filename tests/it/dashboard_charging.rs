//! Charging from the dashboard: a command from a form to the charger's answer, and a session from its start
//! to
//! its close.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use vocabulary::clock::Clock;

use crate::dashboard::{Browser, location, token};
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, start};

/// Begins a session; its number.
async fn session(charger: &mut Charger) -> i64 {
    charger.call("Authorize", json!({"idTag": "TAG"})).await;
    let begin = json!({"connectorId": 1, "idTag": "TAG", "meterStart": 1_000, "timestamp": ago(60)});
    let number = charger.call("StartTransaction", begin).await["transactionId"].as_i64().expect("a number");
    let values = json!({"connectorId": 1, "transactionId": number, "meterValue": [
        {"timestamp": ago(30), "sampledValue": [{"value": "4500"}]}]});
    charger.call("MeterValues", values).await;
    number
}

/// Answers the next command with this; its payload.
async fn answer(charger: &mut Charger, response: Value) -> Value {
    let called = charger.called().await;
    charger.answer(&called.id, response).await;
    called.payload
}

/// So long ago, as a charger with a right clock tells it.
fn ago(minutes: u64) -> String {
    Clock::System.now().before(Duration::from_secs(minutes * 60)).to_string()
}

async fn newest_command(gateway: &Running) -> Value {
    gateway.get("/commands?limit=1").await["data"][0].clone()
}

#[tokio::test]
async fn a_charge_is_started_from_the_page_of_a_station() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    charger.still_serves().await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let page = browser.page("/ui/stations/CP_1").await;
    assert!(page.contains("value=\"RemoteStartTransaction\""), "{page}");
    let fields =
        [("_token", token(&page)), ("action", "RemoteStartTransaction".into()), ("connectorId", "1".into())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // A field is missing: the form comes back, and nothing was sent.
    let wrong = browser.post("/ui/stations/CP_1/command", &fields).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = wrong.text().await.expect("text");
    assert!(
        wrong.contains("name=\"idTag\" value=\"\" autocomplete=\"off\" aria-invalid=\"true\""),
        "{wrong}"
    );
    assert!(wrong.contains("name=\"connectorId\" value=\"1\""), "what was typed stays");
    let whole: Vec<(&str, &str)> = fields.into_iter().chain([("idTag", "TAG")]).collect();
    let (sent, asked) = tokio::join!(
        browser.post("/ui/stations/CP_1/command", &whole),
        answer(&mut charger, json!({"status": "Accepted"}))
    );
    assert_eq!(asked, json!({"connectorId": 1, "idTag": "TAG"}));
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let command = location(&sent).to_owned();
    let shown = browser.page(&command).await;
    assert!(shown.contains("Accepted; waiting for the session to begin"), "{shown}");
    // The session begins, and is one click away, with its curve and its time line.
    let begin = json!({"connectorId": 1, "idTag": "TAG", "meterStart": 1_000, "timestamp": ago(0)});
    let number = charger.call("StartTransaction", begin).await["transactionId"].clone();
    eventually("a link to the session", async || {
        browser.page(&command).await.contains(&format!("href=\"/ui/sessions/{number}\"")).then_some(())
    })
    .await;
    let page = browser.page(&format!("/ui/sessions/{number}")).await;
    assert!(
        page.contains("RemoteStartTransaction asked by <b>admin</b>") && page.contains("The session begins")
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_station_that_is_away_says_so_at_the_form() {
    let gateway = start(|_| {}).await;
    assert_eq!(gateway.api("POST", "/stations", Some(json!({"station_id": "AWAY"}))).await.0, 201);
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let page = browser.page("/ui/stations/AWAY/command?action=DataTransfer").await;
    let token = token(&page);
    let path = "/ui/stations/AWAY/command";
    let fields = |payload| [("_token", token.as_str()), ("action", "DataTransfer"), ("payload", payload)];
    let no_json = browser.post(path, &fields("{")).await;
    assert_eq!(no_json.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(no_json.text().await.expect("text").contains("is no JSON"));
    let away = browser.post(path, &fields("{\"vendorId\":\"x\"}")).await;
    assert_eq!(away.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(away.text().await.expect("text").contains("is not connected"));
    let mut queued = fields("{\"vendorId\":\"x\"}").to_vec();
    queued.push(("queue", "true"));
    let queued = browser.post(path, &queued).await;
    let command = location(&queued).to_owned();
    assert!(browser.page(&command).await.contains("Waiting for the station"));
    let canceled = browser.post(&format!("{command}/cancel"), &[("_token", &token)]).await;
    assert_eq!(location(&canceled), command);
    assert_eq!(newest_command(&gateway).await["status"], "canceled");
    assert_eq!(browser.get("/ui/stations/NOBODY/command").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        browser.get("/ui/stations/AWAY/command?action=Nonsense").await.status(),
        StatusCode::NOT_FOUND
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_is_stopped_and_closed_from_its_page() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    charger.still_serves().await;
    let number = session(&mut charger).await;
    let browser = Browser::signed_in(&gateway, ADMIN_KEY).await;
    let path = format!("/ui/sessions/{number}");
    let page = browser.page(&path).await;
    assert!(page.contains("Card <span class=\"mono\">TAG</span>: Accepted"), "{page}");
    assert!(page.contains("Power, told from the energy") && page.contains("3.50 kWh"), "{page}");
    let token = token(&page);
    let (stop, stop_fields) = (format!("{path}/stop"), [("_token", token.as_str())]);
    let (stopped, asked) =
        tokio::join!(browser.post(&stop, &stop_fields), answer(&mut charger, json!({"status": "Rejected"})));
    assert_eq!((asked["transactionId"].as_i64(), location(&stopped)), (Some(number), path.as_str()));
    assert!(browser.page(&path).await.contains("RemoteStopTransaction asked by <b>admin</b>: Rejected"));
    let close = format!("{path}/close");
    let closed = |meter: &'static str, at: &'static str| {
        let fields =
            [("_token", token.as_str()), ("meter_stop", meter), ("stopped_at", at), ("reason", "PowerLoss")];
        let (browser, close) = (&browser, &close);
        async move { browser.post(close, &fields).await }
    };
    for (meter, at, message) in [
        ("many", "", "must be a whole number of Wh"),
        ("5000", "noon", "is no time"),
        ("5000", "2h", "is before the start"),
    ] {
        let wrong = closed(meter, at).await;
        assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY, "{meter} {at}");
        let text = wrong.text().await.expect("text");
        assert!(
            text.contains(message) && text.contains("<details class=\"confirm\" open"),
            "{message}: {text}"
        );
    }
    let done = closed("5000", "10m").await;
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, path.as_str()));
    let page = browser.page(&path).await;
    assert!(page.contains("<b>Completed</b>: 4.00 kWh") && !page.contains("/stop\""), "{page}");
    let list = browser.page("/ui/sessions?status=completed&id_tag=TAG").await;
    assert!(list.contains(&path) && list.contains("4.00 kWh"), "{list}");
    gateway.stop().await;
}
