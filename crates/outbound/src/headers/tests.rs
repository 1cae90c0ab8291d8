//! Headers of one attempt, and custom headers that are refused.

use super::*;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BODY: &[u8] = b"{}";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn attempt<'a>(
    signing: &'a [SigningSecret],
    webhook_headers: &'a BTreeMap<String, String>,
    event_headers: &'a BTreeMap<String, String>,
) -> AttemptHeaders<'a> {
    AttemptHeaders {
        delivery_id: DeliveryId::from_value(1),
        event_id: EventId::from_value(2),
        event: "StartTransaction",
        attempt: 3,
        trigger: Trigger::Resend,
        sequence: Some(41),
        timestamp_s: 1_776_170_096,
        format: BodyFormat::Flat,
        signing,
        secret: Some(("X-Webhook-Secret", "my secret, verbatim")),
        webhook_headers,
        event_headers,
    }
}

#[test]
fn an_attempt_carries_every_header() {
    let signing = [SECRET.parse().expect("a secret"), SigningSecret::generate().expect("randomness")];
    let (webhook, event) = (map(&[("x-env", "prod"), ("x-both", "webhook")]), map(&[("X-Both", "event")]));
    let headers = attempt(&signing, &webhook, &event).build(BODY);
    let text = |name: &str| headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let id = EventId::from_value(2).to_string();
    for (name, value) in [
        ("content-type", "application/json".to_owned()),
        ("user-agent", format!("chargehook/{}", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", id.clone()),
        ("webhook-timestamp", "1776170096".to_owned()),
        ("webhook-signature", signature::standard(&signing, &id, 1_776_170_096, BODY)),
        ("x-webhook-delivery-id", DeliveryId::from_value(1).to_string()),
        ("x-webhook-timestamp", "1776170096".to_owned()),
        ("x-webhook-signature", signature::plain(&signing[0], 1_776_170_096, BODY)),
        ("x-webhook-event", "StartTransaction".to_owned()),
        ("x-webhook-attempt", "3".to_owned()),
        ("x-webhook-trigger", "resend".to_owned()),
        ("x-webhook-sequence", "41".to_owned()),
        ("x-webhook-secret", "my secret, verbatim".to_owned()),
        ("x-env", "prod".to_owned()),
        ("x-both", "event".to_owned()),
    ] {
        assert_eq!(text(name), Some(value), "{name}");
    }
    assert_eq!(headers.len(), 15, "nothing else is sent");
    let shown = format!("{headers:?}");
    assert!(
        !shown.contains("my secret") && !shown.contains("prod"),
        "what may be secret is not shown: {shown}"
    );
}

#[test]
fn without_secrets_an_attempt_is_unsigned_and_bare_of_what_it_has_not() {
    let none = BTreeMap::new();
    let bare = AttemptHeaders {
        sequence: None,
        secret: None,
        format: BodyFormat::CloudEvents,
        ..attempt(&[], &none, &none)
    };
    let headers = bare.build(BODY);
    for name in ["webhook-signature", "x-webhook-signature", "x-webhook-sequence", "x-webhook-secret"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    assert!(headers.contains_key("webhook-id") && headers.contains_key("webhook-timestamp"));
}

#[test]
fn stored_headers_never_replace_ours() {
    let forged = map(&[("Webhook-Id", "evt_forged"), ("Content-Type", "text/plain"), ("Host", "elsewhere")]);
    let none = BTreeMap::new();
    let headers = attempt(&[], &forged, &none).build(BODY);
    assert_eq!(headers["webhook-id"], EventId::from_value(2).to_string().as_str());
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("host"));
}

#[test]
fn every_wrong_header_is_named() {
    let wrong = |pairs: &[(&str, &str)]| -> Vec<Option<String>> {
        let problems = check_custom_headers(&map(pairs), Some("X-Api-Token")).expect_err("wrong headers");
        problems.into_iter().map(|problem| problem.name).collect()
    };
    let reserved = [
        "Host",
        "Content-Type",
        "content-length",
        "Content-Foo",
        "Connection",
        "Transfer-Encoding",
        "User-Agent",
        "webhook-id",
        "Webhook-Signature",
        "webhook-timestamp",
        "X-Webhook-Signature",
        "X-Webhook-Attempt",
        "X-Webhook-Delivery-Id",
        "X-Webhook-Event",
        "X-Webhook-Sequence",
        "X-Webhook-Timestamp",
        "X-Webhook-Trigger",
        "x-api-token",
    ];
    let pairs: Vec<_> = reserved.iter().map(|name| (*name, "v")).collect();
    assert_eq!(wrong(&pairs).len(), reserved.len());
    for (name, value) in [
        ("", "v"),
        ("x y", "v"),
        ("x:y", "v"),
        ("x\r\ny", "v"),
        ("x-ü", "v"),
        ("x-a", "v\r\nx-b: injected"),
        ("x-a", "v\n"),
        ("x-a", "v\0"),
    ] {
        assert_eq!(wrong(&[(name, value), ("x-good", "ok")]), [Some(name.to_owned())], "{name:?}: {value:?}");
    }
    assert_eq!(wrong(&[("X-Env", "a"), ("x-env", "b")]), [Some("x-env".to_owned())]);
    assert_eq!(wrong(&[("x-long", &"v".repeat(MAX_VALUE_BYTES + 1))]), [Some("x-long".to_owned())]);
    assert_eq!(wrong(&[(&"n".repeat(MAX_NAME_BYTES + 1), "v")]).len(), 1);
    let many: BTreeMap<_, _> =
        (0..=MAX_CUSTOM_HEADERS).map(|n| (format!("x-{n}"), "v".repeat(600))).collect();
    let problems = check_custom_headers(&many, None).expect_err("too many, too large");
    assert_eq!(problems.iter().filter(|problem| problem.name.is_none()).count(), 2);
}

#[test]
fn ordinary_headers_pass() {
    let fine = map(&[("Authorization", "Bearer abc"), ("x-env", "prod é\t1"), ("X-Webhook-Secret", "s")]);
    assert_eq!(check_custom_headers(&fine, None), Ok(()));
    assert_eq!(check_secret_header("Authorization"), Ok(()));
    assert!(check_secret_header("webhook-signature").is_err());
    assert_eq!(check_secret_value("Basic dXNlcjpwdw=="), Ok(()));
    assert!(check_secret_value("a\r\nb").is_err());
}
