//! What the pages show in these tests: a small fleet, with what goes wrong in one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::driver::Browser;
use super::fleet::Fleet;
use crate::harness::{ADMIN_KEY, Running, eventually, start};
use crate::receiver::{Answer, Receiver};
use crate::simulated::Simulated;

/// How many dead letters there are.
pub(super) const DEAD_LETTERS: usize = 31;

/// A word that one payload has, and nothing else.
pub(super) const RARE_WORD: &str = "marmalade";

/// A gateway with a simulated charger and a small fleet, a webhook that works, one whose receiver is away and
/// one that wants little.
pub(super) struct Scene {
    pub(super) gateway: Running,
    pub(super) charger: Simulated,
    pub(super) fleet: Fleet,
    pub(super) billing: Receiver,
    billing_answers: Arc<AtomicBool>,
    _backoffice: Receiver,
    pub(super) billing_id: i64,
}

impl Scene {
    pub(super) async fn set() -> Self {
        let gateway = start(|_| {}).await;
        let wallbox = json!({"station_id": "WALLBOX_001", "site": "Home fleet"});
        assert_eq!(gateway.api("POST", "/stations", Some(wallbox)).await.0, 201);
        let billing_answers = Arc::new(AtomicBool::new(false));
        let answers = billing_answers.clone();
        let billing = Receiver::judging(move |_, request| {
            // What succeeds in between keeps the breaker from opening, which would make this take minutes.
            let good = answers.load(Ordering::SeqCst) || request.header("x-webhook-event") == "invoice.paid";
            Answer::Status(if good { 200 } else { 503 })
        })
        .await;
        let backoffice = Receiver::always(Answer::Status(200)).await;
        webhook(&gateway, "backoffice", &backoffice.url, &["*"]).await;
        let billing_id = webhook(&gateway, "billing", &billing.url, &["invoice.*"]).await;
        webhook(&gateway, "alarms", &backoffice.url, &["SecurityEventNotification"]).await;
        let charger = Simulated::start(&gateway, "WALLBOX_001").await;
        charge_once(&gateway, &charger).await;
        let fleet = Fleet::connect(&gateway).await;
        for number in 0..DEAD_LETTERS {
            let note = if number == 0 { RARE_WORD } else { "plain" };
            for event in ["invoice.due", "invoice.paid"] {
                let payload = json!({"number": number, "note": note});
                let event = json!({"event": event, "payload": payload, "broadcast": true});
                assert_eq!(gateway.api("POST", "/events", Some(event)).await.0, 202);
            }
            billing.wait_for(2 * (number + 1)).await;
        }
        eventually("all of them are dead letters", async || {
            let failed = gateway.get("/deliveries?status=failed&limit=100").await;
            (failed["data"].as_array()?.len() == DEAD_LETTERS).then_some(())
        })
        .await;
        Self { gateway, charger, fleet, billing, billing_answers, _backoffice: backoffice, billing_id }
    }

    /// The receiver that was away answers again.
    pub(super) fn billing_is_back(&self) {
        self.billing_answers.store(true, Ordering::SeqCst);
    }

    /// Signs in, which leads to the overview.
    pub(super) async fn sign_in(&self, browser: &Browser) {
        browser.goto(&self.gateway.url("/")).await;
        browser.fill("key", ADMIN_KEY).await;
        browser.control("Sign in").await.click().await.expect("a click");
        eventually("the overview", async || browser.url().await.ends_with("/ui/").then_some(())).await;
    }
}

async fn webhook(gateway: &Running, name: &str, url: &str, events: &[&str]) -> i64 {
    let webhook = json!({"name": name, "url": url, "events": events, "retry_schedule": []});
    let (status, created) = gateway.api("POST", "/webhooks", Some(webhook)).await;
    assert_eq!(status, 201, "{created}");
    created["id"].as_i64().expect("a number")
}

/// A session from plugging in to unplugging.
async fn charge_once(gateway: &Running, charger: &Simulated) {
    charger.tell("plug 1");
    charger.tell("tag DEADBEEF 1");
    let metered = eventually("a session with meter values", async || {
        let sessions = gateway.get("/transactions?station_id=WALLBOX_001").await;
        let id = sessions["data"].as_array()?.first()?["transaction_id"].as_i64()?;
        let values = gateway.get(&format!("/transactions/{id}/meter-values?limit=100")).await;
        (values["data"].as_array()?.len() > 8).then_some(id)
    })
    .await;
    charger.tell("unplug 1");
    eventually("its end", async || {
        let session: Value = gateway.get(&format!("/transactions/{metered}")).await;
        (session["status"] == "completed").then_some(())
    })
    .await;
}
