//! Settling, on a clock that moves only by hand.

use super::*;
use crate::seed::SeedWebhook;
use crate::{LaneClaim, LogPosition};
use vocabulary::clock::Clock;

const DAY: Duration = Duration::from_secs(86_400);

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    clock: Clock,
    webhook: WebhookId,
}

async fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
    let store = Store::open(dir.path(), clock.clone()).expect("a store");
    let webhook = store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored");
    Bench { _dir: dir, store, clock, webhook }
}

impl Bench {
    async fn claim(&self) -> Option<crate::Claimed> {
        let claim = LaneClaim {
            webhook_id: self.webhook,
            limit: 1,
            resends_only: false,
            order_max_wait: Duration::ZERO,
            after_station: String::new(),
        };
        let mut claimed = self.store.claim(vec![claim], |_, _| true).await.expect("claimed");
        claimed.remove(0).deliveries.pop()
    }

    /// Claims one delivery and ends its attempt.
    async fn attempt(&self, next: Next) {
        let claimed = self.claim().await.expect("one is due");
        let delivered = next == Next::Delivered;
        let finish = Finish {
            row: claimed.row,
            webhook_id: claimed.webhook_id,
            attempt: claimed.attempt,
            duration: Duration::from_millis(7),
            status_code: Some(if delivered { 200 } else { 500 }),
            error: (!delivered)
                .then(|| DeliveryError { code: ErrorCode::HttpStatus, message: "500".to_owned() }),
            response_headers: Vec::new(),
            response_body: (!delivered).then(|| "db\ndown".to_owned()),
            next,
            auto_disable_after: Some(5 * DAY),
        };
        self.store.finish(finish).await.expect("settled");
    }

    fn retry(&self) -> Next {
        Next::Retry { due_at: self.clock.now() }
    }

    async fn operational(&self) -> String {
        let all = "SELECT coalesce(string_agg(event, ' ' ORDER BY seq), '') FROM events
             WHERE category = 'webhook'";
        self.store.seed_text(all).await
    }
}

#[tokio::test]
async fn a_webhook_that_fails_for_days_is_warned_about_and_then_disabled() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 3).await.expect("stored");
    bench.attempt(bench.retry()).await;
    assert_eq!(bench.operational().await, "");
    for _ in 0..3 {
        bench.clock.advance(30 * DAY / 24);
        bench.attempt(bench.retry()).await;
        bench.attempt(bench.retry()).await;
    }
    assert_eq!(bench.operational().await, "WebhookFailing WebhookFailing WebhookFailing", "one a quarter");
    bench.clock.advance(30 * DAY / 24);
    bench.attempt(bench.retry()).await;
    assert!(bench.operational().await.ends_with(" WebhookDisabled"));
    assert_eq!(bench.store.seed_text("SELECT status FROM webhooks").await, "auto_disabled");
    let waiting = "SELECT count(*) FROM deliveries WHERE status <> 'discarded'";
    assert_eq!(bench.store.seed_number(waiting).await, 0, "nothing waits any more");
    assert!(bench.claim().await.is_none());
}

#[tokio::test]
async fn one_success_ends_the_count_and_is_told_if_a_warning_was() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 4).await.expect("stored");
    bench.attempt(bench.retry()).await;
    bench.attempt(Next::Delivered).await;
    assert_eq!(bench.operational().await, "", "a short failure is nobody's business");
    bench.attempt(bench.retry()).await;
    bench.clock.advance(3 * DAY);
    bench.attempt(bench.retry()).await;
    bench.attempt(Next::Delivered).await;
    assert_eq!(bench.operational().await, "WebhookFailing WebhookRecovered");
    let failing = "SELECT count(*) FROM webhooks WHERE failing_since_ms IS NOT NULL OR failing_told > 0";
    assert_eq!(bench.store.seed_number(failing).await, 0);
}

#[tokio::test]
async fn a_dead_letter_behind_an_open_breaker_tells_what_opened_it() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 2).await.expect("stored");
    bench.attempt(bench.retry()).await;
    bench.clock.advance(DAY);
    let given_up = bench.store.give_up_waiting(bench.webhook, bench.clock.now(), 0).await.expect("given up");
    let mut told: Vec<String> =
        given_up.unannounced.into_iter().map(|failure| failure.last_error.message).collect();
    told.sort();
    let expected = [
        "500 with \"db down\"; then the circuit breaker was open until the retry schedule was over",
        "other deliveries: 500 with \"db down\"; the circuit breaker was open until the retry schedule was over, so \
         this was never tried",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_attempt_that_was_not_made_is_as_if_it_had_never_begun() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 1).await.expect("stored");
    bench.attempt(bench.retry()).await;
    let shown = "SELECT status || ' ' || step || ' ' || attempts || ' ' || (SELECT count(*) FROM attempts)
         FROM deliveries";
    assert_eq!(bench.store.seed_text(shown).await, "retry 1 1 1");
    let claimed = bench.claim().await.expect("it is due again");
    assert_eq!(bench.store.seed_text(shown).await, "processing 1 2 2");
    let due_at = bench.clock.now().after(DAY);
    let not_made = NotMade {
        row: claimed.row,
        webhook_id: bench.webhook,
        attempt: 2,
        message: "on purpose".to_owned(),
        due_at,
    };
    bench.store.put_back(not_made.clone()).await.expect("put back");
    assert_eq!(bench.store.seed_text(shown).await, "retry 1 1 1");
    assert_eq!(bench.store.seed_text("SELECT last_error_code FROM deliveries").await, "unreadable");
    assert!(bench.claim().await.is_none(), "it waits");
    bench.clock.advance(DAY);
    assert_eq!(bench.claim().await.expect("until then").attempt, 2);
    // Canceled while it was being read: it stays so, and its attempt shows it.
    let id = claimed.id;
    bench.store.cancel(id, None).await.expect("canceled");
    bench.store.put_back(not_made).await.expect("taken note of");
    assert_eq!(bench.store.seed_text(shown).await, "discarded 1 2 2");
}

#[tokio::test]
async fn what_was_claimed_is_read_whatever_becomes_of_its_delivery_and_its_webhook() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 2).await.expect("stored");
    let (first, second) = (bench.claim().await.expect("due"), bench.claim().await.expect("due"));
    bench.store.cancel(first.id, None).await.expect("canceled");
    bench.store.delete_webhook(bench.webhook, None).await.expect("deleted");
    let nothing = LogPosition::from_number(99);
    let events = [first.event, second.event, nothing];
    let read = bench.store.to_deliver(events.into()).await.expect("read");
    assert!(read[&first.event].is_ok() && read[&second.event].is_ok());
    assert!(read[&nothing].is_err(), "one that is not there spoils no other");
}

#[tokio::test]
async fn what_was_discarded_while_it_was_under_way_stays_so() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 1).await.expect("stored");
    let claimed = bench.claim().await.expect("one is due");
    bench.store.cancel(claimed.id, None).await.expect("canceled");
    let finish = Finish {
        row: claimed.row,
        webhook_id: bench.webhook,
        attempt: 1,
        duration: Duration::from_millis(7),
        status_code: Some(200),
        error: None,
        response_headers: vec![("server".to_owned(), "x".to_owned())],
        response_body: Some("ok".to_owned()),
        next: Next::Delivered,
        auto_disable_after: None,
    };
    bench.store.finish(finish).await.expect("settled");
    let delivery = bench.store.delivery(claimed.id, None).await.expect("read").expect("there");
    assert_eq!(delivery.status, DeliveryStatus::Discarded);
    assert_eq!(delivery.attempts[0].status_code, Some(200), "the attempt is on record all the same");
    let headers = delivery.attempts[0].response_headers.as_ref().expect("kept");
    assert_eq!(headers.get("server").map(String::as_str), Some("x"));
}

#[tokio::test]
async fn a_webhook_disabled_meanwhile_gets_no_retry() {
    let bench = bench().await;
    bench.store.seed_events("CP_1", 1).await.expect("stored");
    let claimed = bench.claim().await.expect("one is due");
    bench.store.seed_run("UPDATE webhooks SET status = 'disabled', disabled_reason = 'by hand'").await;
    let finish = Finish {
        row: claimed.row,
        webhook_id: bench.webhook,
        attempt: 1,
        duration: Duration::ZERO,
        status_code: None,
        error: Some(DeliveryError { code: ErrorCode::Timeout, message: String::new() }),
        response_headers: Vec::new(),
        response_body: None,
        next: bench.retry(),
        auto_disable_after: None,
    };
    bench.store.finish(finish).await.expect("settled");
    let delivery = bench.store.delivery(claimed.id, None).await.expect("read").expect("there");
    assert_eq!(delivery.status, DeliveryStatus::Discarded);
}
