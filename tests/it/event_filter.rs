//! `filter` of events and of their stream: conditions on payloads, in the language of webhooks.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Running, http_client, start};
use crate::listen::bring;
use crate::operator::run;

fn query(filter: &str) -> String {
    url::form_urlencoded::byte_serialize(filter.as_bytes()).collect()
}

async fn numbers(gateway: &Running, filter: &str, more: &str) -> Vec<Value> {
    let path = format!("/events?order=asc&event=invoice.*&filter={}{more}", query(filter));
    let found = gateway.get(&path).await;
    found["data"].as_array().expect("rows").iter().map(|event| event["payload"]["n"].clone()).collect()
}

#[tokio::test]
async fn payloads_are_filtered_as_webhooks_do() {
    let gateway = start(|_| {}).await;
    for number in 0..6 {
        bring(&gateway, "invoice.paid", number).await;
    }
    for (filter, more, found) in [
        (r#"{"n": 3}"#, "", json!([3])),
        (r#"{"n": 3.0}"#, "", json!([3])),
        (r#"{"n": {"$gte": 2, "$lt": 5}}"#, "", json!([2, 3, 4])),
        (r#"{"n": {"$in": [1, 5]}}"#, "&q=5", json!([5])),
        (r#"{"n": {"$not": 0}}"#, "&limit=2", json!([1, 2])),
        (r#"{"x": {"$exists": true}}"#, "", json!([])),
        ("{}", "", json!([0, 1, 2, 3, 4, 5])),
    ] {
        assert_eq!(Value::from(numbers(&gateway, filter, more).await), found, "{filter}{more}");
    }
    let printed = ["events", "list", "--event", "invoice.*", "--filter", r#"{"n": {"$lt": 2}}"#];
    assert_eq!(run(&gateway, &printed).await.out().lines().count(), 3);
    let csv = run(&gateway, &[printed.as_slice(), &["--csv"]].concat()).await.out();
    assert_eq!(csv.lines().count(), 3, "{csv}");
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_named() {
    let gateway = start(|_| {}).await;
    for (filter, words) in [
        ("{", vec!["must be JSON"]),
        ("", vec!["must not be empty"]),
        ("[]", vec!["an object of conditions"]),
        (r#"{"a": {"$regex": 1}, "$or": []}"#, vec!["$or: ", "a.$regex: "]),
    ] {
        for path in ["/events", "/events/stream"] {
            let (status, problem) =
                gateway.api("GET", &format!("{path}?filter={}", query(filter)), None).await;
            let errors = problem["errors"].as_array().expect("errors");
            assert_eq!((status, errors.len()), (422, words.len()), "{filter}: {problem}");
            for words in &words {
                let named = |error: &Value| {
                    error["field"] == "filter"
                        && error["message"].as_str().is_some_and(|text| text.contains(words))
                };
                assert!(errors.iter().any(named), "{filter}: {problem}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_and_a_long_poll_tell_what_fits_alone() {
    let gateway = start(|_| {}).await;
    let filter = query(r#"{"n": {"$gt": 1}}"#);
    let url = gateway.url(&format!("/api/v1/events/stream?event=invoice.*&filter={filter}"));
    let request = http_client().get(url).header("X-API-Key", ADMIN_KEY);
    let mut stream = request.send().await.expect("answers").bytes_stream();
    let mut told = String::new();
    bring(&gateway, "invoice.first", 0).await;
    let first = gateway.get("/events?event=invoice.first").await["data"][0]["id"].clone();
    let poll =
        format!("/events?event=invoice.*&after={}&wait=20s&filter={filter}", first.as_str().expect("an id"));
    let (found, ()) = tokio::join!(gateway.get(&poll), async {
        for number in [1, 2] {
            bring(&gateway, "invoice.paid", number).await;
        }
    });
    assert_eq!(
        (&found["data"][0]["payload"]["n"], found["data"].as_array().map(Vec::len)),
        (&json!(2), Some(1))
    );
    while !told.contains(r#""n":2"#) {
        let piece = stream.next().await.expect("it goes on").expect("it comes in time");
        told.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(!told.contains(r#""n":0"#) && !told.contains(r#""n":1"#), "{told}");
}
