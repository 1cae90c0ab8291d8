use super::*;
use crate::Store;
use crate::seed::secrets_in;
use vocabulary::webhook::WebhookStatus;

#[tokio::test]
async fn what_is_lost_with_the_key_is_told_and_dropped_and_nothing_goes_out_without_it() {
    if crate::test_store::is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    secrets_in(dir.path());
    let store = Store::open(dir.path(), Clock::System).expect("opens");
    store
        .seed_run(
            "INSERT INTO webhooks (name, url, status, disabled_reason, events, stations, signing_secret, format,
                 custom_headers, ordering, ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight,
                 created_at_ms, updated_at_ms)
             SELECT 'off', url, 'disabled', 'by hand', events, stations, signing_secret, format, '{}', ordering,
                    ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, 1, 1 FROM webhooks WHERE id = 1",
        )
        .await;
    store.seed_run("UPDATE stations SET password_verifiers = '[\"$argon2id$slow#id.light\"]'").await;
    store.close();
    let source = KeySource::file_in(dir.path());
    assert!(matches!(losses(dir.path(), &source), Err(KeyChangeRefused::NotLost(_))));
    assert!(matches!(drop_secrets(dir.path(), &source, &Clock::System), Err(KeyChangeRefused::NotLost(_))));
    let KeySource::File(file) = &source else { panic!("a file") };
    std::fs::rename(file, dir.path().join("misplaced")).expect("moves");

    let told = losses(dir.path(), &source).expect("looks");
    let lost: Vec<_> = told.webhooks.iter().map(|webhook| (webhook.status, webhook.lost())).collect();
    let all = ["signing secret", "value of x-key", "custom headers", "credentials"].map(str::to_owned);
    assert_eq!(
        lost,
        [(WebhookStatus::Active, all.to_vec()), (WebhookStatus::Disabled, vec!["signing secret".to_owned()])]
    );
    assert_eq!((told.deliveries, told.commands, told.events, told.requests), (1, 2, 1, 1));
    assert!(!file.exists(), "looking makes nothing");

    let (dropped, residue) = drop_secrets(dir.path(), &source, &Clock::System).expect("drops");
    assert!(dropped == told && residue == Residue::Gone);
    let store = Store::open(dir.path(), Clock::System).expect("opens with the new key");
    let secrets = store.webhook_secrets(1, Clock::System.now()).await.expect("opens").expect("is there");
    assert!(secrets.signing_secret.starts_with("whsec_") && secrets.previous.is_empty());
    let other = store.webhook_secrets(dropped.webhooks[1].id, Clock::System.now()).await.expect("opens");
    assert_ne!(other.expect("is there").signing_secret, secrets.signing_secret);
    let webhook = store.webhook(1).await.expect("opens").expect("is there");
    assert_eq!((webhook.secret_value, webhook.webhook.secret_header.as_deref()), (None, Some("x-key")));
    assert!(webhook.webhook.custom_headers.is_empty() && webhook.credentials.is_none());
    assert_eq!(webhook.webhook.status, WebhookStatus::Paused);
    let reason = webhook.webhook.paused_reason.expect("told");
    assert!(reason.contains("value of x-key, custom headers, credentials"), "{reason}");
    let off = store.webhook(dropped.webhooks[1].id).await.expect("opens").expect("is there").webhook;
    assert_eq!((off.status, off.paused_reason), (WebhookStatus::Disabled, None));
    let reason = off.disabled_reason.expect("told");
    assert!(reason.starts_with("by hand; lost with the key"), "{reason}");

    let delivery = "SELECT status || ' ' || discarded_because FROM deliveries WHERE origin_id IS NOT NULL";
    assert_eq!(store.seed_text(delivery).await, "discarded canceled");
    let signed = "SELECT count(*) FROM deliveries WHERE origin_id IS NOT NULL AND secret LIKE 'sealed:%'";
    assert_eq!(store.seed_number(signed).await, 1, "sent again, it is signed with what nobody knows");
    assert_eq!(store.seed_text("SELECT status FROM commands").await, "canceled");
    assert_eq!(store.seed_text("SELECT status FROM bulk_commands").await, "canceled");
    assert_eq!(store.seed_number("SELECT count(*) FROM idempotent_requests").await, 0);
    let passwords = "SELECT password_verifiers FROM stations";
    assert_eq!(store.seed_text(passwords).await, r#"["$argon2id$slow"]"#);

    // Whoever resumes it has seen to its secrets.
    store.resume_webhook(1).await.expect("written");
    let resumed = store.webhook(1).await.expect("opens").expect("is there").webhook;
    assert_eq!((resumed.status, resumed.paused_reason), (WebhookStatus::Active, None));
    store.close();

    // The key that was found again is of no use any more.
    std::fs::rename(dir.path().join("misplaced"), file).expect("moves back");
    let refused = Store::open(dir.path(), Clock::System).err().expect("refused");
    assert!(matches!(refused, StoreError::Key(KeyFault::Wrong(_))), "{refused}");
}

#[test]
fn a_database_that_has_nothing_sealed_loses_nothing() {
    if crate::test_store::is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    Store::open_beside(dir.path(), Clock::System).expect("makes it").close();
    let source = KeySource::file_in(dir.path());
    assert!(matches!(losses(dir.path(), &source), Err(KeyChangeRefused::NotSealed)));
}
