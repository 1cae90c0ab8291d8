//! Which event goes to which webhook.

use super::*;

fn payload(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn wants(webhook_id: WebhookId, events: &[&str]) -> Subscription {
    Subscription {
        webhook_id,
        owner_id: None,
        events: events.iter().map(|text| text.parse().expect(text)).collect(),
        stations: Vec::new(),
        filter: None,
        created_seq: LogPosition::from_number(10),
        enabled: true,
    }
}

fn start<'a>(payload: &'a RawValue) -> Subject<'a> {
    Subject::new("StartTransaction", Category::Ocpp, Some("WALLBOX_1"), Some("acme"), payload)
}

#[test]
fn the_first_reason_that_applies_is_given() {
    let body = payload(r#"{"connectorId": 2}"#);
    let picky = Subscription {
        owner_id: Some("acme".into()),
        stations: vec!["WALLBOX_*".parse().expect("a glob")],
        filter: Some(Filter::parse(&serde_json::json!({"connectorId": 2})).expect("a filter")),
        ..wants(1, &["Start*"])
    };
    let judge = |change: fn(&mut Subject<'_>)| {
        let mut subject = start(&body);
        change(&mut subject);
        picky.judge(&subject)
    };
    assert_eq!(judge(|_| {}), Ok(()));
    assert_eq!(judge(|s| s.event = "StopTransaction"), Err(NotMatched::EventType));
    assert_eq!(judge(|s| s.station_id = Some("CP_1")), Err(NotMatched::Station));
    assert_eq!(judge(|s| s.station_id = None), Err(NotMatched::Station));
    assert_eq!(judge(|s| s.owner_id = Some("other")), Err(NotMatched::Owner));
    assert_eq!(judge(|s| s.owner_id = None), Err(NotMatched::Owner));
    assert_eq!(judge(|s| s.duplicate = true), Err(NotMatched::Duplicate));
    assert_eq!(judge(|s| s.position = Some(LogPosition::from_number(10))), Err(NotMatched::CreatedLater));
    assert_eq!(judge(|s| s.position = Some(LogPosition::from_number(11))), Ok(()));
    assert_eq!(judge(|s| s.about_webhook = Some(1)), Err(NotMatched::AboutItself));
    assert_eq!(judge(|s| s.about_webhook = Some(2)), Ok(()));
    assert_eq!(judge(|s| s.target = Target::Webhook(2)), Err(NotMatched::Target));
    assert_eq!(judge(|s| s.target = Target::DirectUrl), Err(NotMatched::Target));
    let other = payload(r#"{"connectorId": 1}"#);
    assert_eq!(picky.judge(&start(&other)), Err(NotMatched::Filter));
}

#[test]
fn a_directed_event_asks_for_no_subscription_and_a_broadcast_for_no_owner() {
    let body = payload("{}");
    let acme = Subscription { owner_id: Some("acme".into()), ..wants(1, &["Heartbeat"]) };
    let directed = Subject { target: Target::Webhook(1), owner_id: None, ..start(&body) };
    assert_eq!(acme.judge(&directed), Ok(()));
    let broadcast = Subject { target: Target::Broadcast, owner_id: None, ..start(&body) };
    assert_eq!(acme.judge(&broadcast), Err(NotMatched::EventType));
    let heartbeat = Subject { event: "Heartbeat", ..broadcast };
    assert_eq!(acme.judge(&heartbeat), Ok(()));
}

#[test]
fn a_webhook_without_owner_gets_the_events_of_all() {
    let body = payload("{}");
    for owner in [None, Some("acme"), Some("other")] {
        assert_eq!(wants(1, &["*"]).judge(&Subject { owner_id: owner, ..start(&body) }), Ok(()));
    }
}

#[test]
fn an_event_without_station_fits_no_glob_but_the_star() {
    let body = payload("{}");
    let subject = Subject { station_id: None, ..start(&body) };
    let with = |glob: &str| Subscription { stations: vec![glob.parse().expect(glob)], ..wants(1, &["*"]) };
    assert_eq!(with("*").judge(&subject), Ok(()));
    assert_eq!(with("CP*").judge(&subject), Err(NotMatched::Station));
    assert_eq!(wants(1, &["*"]).judge(&subject), Ok(()));
}

#[test]
fn a_set_agrees_with_its_subscriptions() {
    let body = payload(r#"{"connectorId": 2, "webhook_id": 3}"#);
    let filtered = |json| Some(Filter::parse(&json).expect("a filter"));
    let all = vec![
        wants(1, &["*"]),
        wants(2, &["webhook.*", "ocpp.*"]),
        Subscription { owner_id: Some("acme".into()), ..wants(3, &["Start*", "invoice.*", "Delivery*"]) },
        Subscription { stations: vec!["CP*".parse().expect("a glob")], ..wants(4, &["*"]) },
        Subscription { filter: filtered(serde_json::json!({"connectorId": {"$gt": 1}})), ..wants(5, &["*"]) },
        wants(6, &["invoice.paid", "ping", "custom.*"]),
    ];
    let set = SubscriptionSet::new(all.clone());
    let names = event::types().chain([(Category::Custom, "invoice.paid"), (Category::Custom, "a.b")]);
    let mut compared = 0;
    for (category, event) in names {
        for station in [None, Some("CP_1"), Some("WALLBOX_1")] {
            for owner in [None, Some("acme")] {
                for target in [Target::Subscribers, Target::Broadcast, Target::Webhook(4), Target::DirectUrl]
                {
                    let subject = Subject {
                        target,
                        about_webhook: (category == Category::Webhook).then_some(3),
                        ..Subject::new(event, category, station, owner, &body)
                    };
                    let one_by_one: Vec<_> =
                        all.iter().filter(|s| s.judge(&subject).is_ok()).map(|s| s.webhook_id).collect();
                    assert_eq!(
                        set.matching(&subject).map(|s| s.webhook_id).collect::<Vec<_>>(),
                        one_by_one,
                        "{subject:?}"
                    );
                    let judged = set.judge(&subject).filter(|(_, verdict)| verdict.is_ok());
                    assert_eq!(judged.map(|(id, _)| id).collect::<Vec<_>>(), one_by_one, "{subject:?}");
                    compared += one_by_one.len();
                }
            }
        }
    }
    assert!(compared > 500, "the sample is not empty: {compared}");
}

#[test]
fn a_payload_is_parsed_only_if_a_filter_asks() {
    let body = payload(r#"{"connectorId": 2}"#);
    let subject = start(&body);
    let set = SubscriptionSet::new(vec![wants(1, &["*"]), wants(2, &["Start*"])]);
    assert_eq!(set.matching(&subject).count(), 2);
    assert!(subject.parsed.get().is_none());
    let filter = Filter::parse(&serde_json::json!({"connectorId": 2})).expect("a filter");
    let set = SubscriptionSet::new(vec![Subscription { filter: Some(filter), ..wants(1, &["*"]) }]);
    assert_eq!(set.matching(&subject).map(|s| s.webhook_id).collect::<Vec<_>>(), [1]);
    assert!(subject.parsed.get().is_some());
}

#[test]
fn a_change_of_one_gives_the_same_as_preparing_all_anew_and_can_be_taken_back() {
    let body = payload("{}");
    let all = [wants(2, &["*"]), wants(4, &["Start*"]), wants(6, &["invoice.*", "Heartbeat"])];
    let ids = |set: &SubscriptionSet| -> Vec<Vec<WebhookId>> {
        let of = |category, event| {
            let subject = Subject::new(event, category, Some("CP"), None, &body);
            set.matching(&subject).map(|s| s.webhook_id).collect()
        };
        event::types()
            .chain([(Category::Custom, "invoice.paid")])
            .map(|(category, event)| of(category, event))
            .collect()
    };
    let mut set = SubscriptionSet::new(all.to_vec());
    let before = ids(&set);
    for (changed, now) in [
        (1, Some(wants(1, &["Heartbeat"]))),
        (4, Some(wants(4, &["*"]))),
        (6, None),
        (7, Some(wants(7, &["ocpp.*"]))),
        (9, None),
    ] {
        let mut anew: Vec<Subscription> = all.iter().filter(|s| s.webhook_id != changed).cloned().collect();
        anew.extend(now.clone());
        anew.sort_by_key(|s| s.webhook_id);
        let was = set.put(changed, now.map(Arc::new));
        assert_eq!(ids(&set), ids(&SubscriptionSet::new(anew)), "webhook {changed}");
        set.put(changed, was);
        assert_eq!(ids(&set), before, "webhook {changed} is as it was");
    }
}
