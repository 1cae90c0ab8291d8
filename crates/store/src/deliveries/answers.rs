//! Deliveries by what their last attempt was answered.

use vocabulary::delivery::AnswerClass;

/// As [`super::list::FROM`], along the attempts that failed: so few of a million deliveries are found at
/// once. Rows come in the order of `a.delivery_seq`. The query names its index, and the `+` keeps SQLite from
/// going through the deliveries instead: it does not know how few attempts there are.
pub(super) const FROM_FAILED: &str = "FROM attempts a INDEXED BY attempts_failed
    JOIN deliveries d ON d.seq = +a.delivery_seq AND d.attempts = a.number
    JOIN events e ON e.seq = d.event_seq LEFT JOIN webhooks w ON w.id = d.webhook_id";

/// That the last attempt of `d` was answered with one of these.
pub(super) fn last_answered(classes: &[AnswerClass]) -> String {
    format!(
        "EXISTS (SELECT 1 FROM attempts a WHERE a.delivery_seq = d.seq AND a.number = d.attempts AND {})",
        answered(classes)
    )
}

/// The same in [`FROM_FAILED`]; `None` for answers that are no failures.
pub(super) fn failed_with(classes: &[AnswerClass]) -> Option<String> {
    let are_failures = !classes.is_empty() && !classes.contains(&AnswerClass::Taken);
    are_failures.then(|| format!("a.error_code IS NOT NULL AND {}", answered(classes)))
}

fn answered(classes: &[AnswerClass]) -> String {
    let one = |class: &AnswerClass| match class.codes() {
        Some((first, last)) => format!("a.status_code BETWEEN {first} AND {last}"),
        // An attempt that is under way has no error yet.
        None => "(a.status_code IS NULL AND a.error_code IS NOT NULL)".to_owned(),
    };
    format!("({})", classes.iter().map(one).collect::<Vec<_>>().join(" OR "))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::seed::SeedWebhook;
    use crate::{DeliveryFilter, Slice, Store};
    use vocabulary::clock::{Clock, Timestamp};

    /// One webhook with a delivery and an attempt for each of 200,000 numbers: the third and the seventh were
    /// refused, the fifth got no answer, the ninth was refused and then taken, the others were taken.
    async fn many() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock).expect("a store");
        store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored");
        store.seed_events("CP_1", 1).await.expect("stored");
        store.seed_run("DELETE FROM deliveries").await;
        store
            .seed_run(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
                 INSERT INTO deliveries (seq, id, event_seq, webhook_id, status, attempts, first_tried_at_ms,
                      scheduled_at_ms, created_at_ms, completed_at_ms)
                 SELECT i, format('dlv_7%025d', i), 1, 1, iif(i IN (3, 5, 7), 'failed', 'success'),
                        iif(i = 9, 2, 1), 1, 0, 1776170096789 + i, 1776170096789 + i FROM n",
            )
            .await;
        store
            .seed_run(
                "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, status_code, error_code)
                 SELECT seq, 1, 'event', created_at_ms, 5,
                        CASE WHEN seq IN (3, 9) THEN 404 WHEN seq = 7 THEN 503 WHEN seq <> 5 THEN 200 END,
                        CASE WHEN seq IN (3, 7, 9) THEN 'http_status' WHEN seq = 5 THEN 'timeout' END
                 FROM deliveries",
            )
            .await;
        store
            .seed_run(
                "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, status_code)
                 VALUES (9, 2, 'event', 1, 5, 200)",
            )
            .await;
        (dir, store)
    }

    #[tokio::test]
    async fn a_few_failures_among_many_deliveries_are_found_at_once() {
        use AnswerClass::{Broken, Nothing, Redirected, Refused, Taken};
        // Its rows are made by functions of SQLite's.
        if crate::test_store::is_shared() {
            return;
        }
        let (_dir, store) = many().await;
        let found = async |filter: DeliveryFilter, ascending: bool, after: Option<(i64, i64)>| {
            let began = Instant::now();
            let listed =
                store.deliveries(filter, Slice { ascending, after, limit: 2 }).await.expect("listed");
            let rows: Vec<i64> = listed.rows.iter().map(|delivery| delivery.row.number()).collect();
            (rows, listed.next, began.elapsed())
        };
        let answered =
            |classes: &[AnswerClass]| DeliveryFilter { answers: classes.to_vec(), ..Default::default() };
        for (classes, expected) in [
            (&[Refused][..], &[3][..]),
            (&[Broken], &[7]),
            (&[Nothing], &[5]),
            (&[Redirected], &[]),
            (&[Refused, Broken, Nothing], &[7, 5]),
            (&[Taken], &[200_000, 199_999]),
            (&[Taken, Broken], &[200_000, 199_999]),
        ] {
            let (rows, _, took) = found(answered(classes), false, None).await;
            assert_eq!(rows, expected, "{classes:?}");
            assert!(took < Duration::from_millis(250), "{classes:?}: {took:?}");
        }
        let (_, next, _) = found(answered(&[Refused, Broken, Nothing]), false, None).await;
        assert_eq!(found(answered(&[Refused, Broken, Nothing]), false, next).await.0, [3]);
        assert_eq!(found(answered(&[Refused, Broken, Nothing]), true, None).await.0, [3, 5]);
        let tried = DeliveryFilter { min_attempts: Some(2), ..Default::default() };
        let (rows, _, took) = found(tried, false, None).await;
        assert_eq!(rows, [9]);
        assert!(took < Duration::from_millis(50), "{took:?}");
        let of_nobody = DeliveryFilter { webhook_id: Some(2), ..answered(&[Broken]) };
        assert_eq!(found(of_nobody, false, None).await.0, [0_i64; 0]);
    }
}
