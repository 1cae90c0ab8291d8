//! What is said of facts.

use std::time::Duration;

use super::*;
use crate::overview::facts::{
    DoubtfulSession, FailingAddress, FaultedConnector, LaneFact, OpenSession, RefusedStation, SessionFacts,
    TroubledStation, WebhookFact,
};
use vocabulary::api::overview::Kind;
use vocabulary::api::transaction::EnergyQuality;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::webhook::WebhookStatus;

/// 2026-04-14T12:00:00Z, when everything here is looked at.
const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);

fn ago(seconds: u64) -> Timestamp {
    NOW.before(Duration::from_secs(seconds))
}

fn nothing() -> Facts {
    Facts {
        now: NOW,
        started_at: ago(1_000_000),
        stations_known: 100,
        site_sizes: [("P4".to_owned(), 6), ("P5".to_owned(), 20)].into(),
        stations: Vec::new(),
        refused: Vec::new(),
        failing_addresses: Vec::new(),
        faulted: Vec::new(),
        sessions: SessionFacts::default(),
        webhooks: Vec::new(),
    }
}

fn station(nth: usize, site: Option<&str>, left_s_ago: f64) -> TroubledStation {
    TroubledStation {
        station_id: format!("CP_{nth}"),
        site: site.map(str::to_owned),
        address: Some(format!("192.0.2.{}", if site.is_some() { 1 } else { nth })),
        connected: false,
        offline: true,
        connected_at: Some(ago(80_000)),
        left_at: Some(NOW.before(Duration::from_secs_f64(left_s_ago))),
        disconnect_reason: Some("connection_lost".to_owned()),
        boot_status: BootStatus::Accepted,
        flags: Vec::new(),
        clock_skew_ms: None,
        unanswered_since: None,
    }
}

fn webhook(id: i64) -> WebhookFact {
    WebhookFact {
        id: Some(id),
        name: "CRM".to_owned(),
        status: WebhookStatus::Active,
        since: None,
        reason: None,
        failing_since: None,
        lane: LaneFact::default(),
        last_error: None,
        waiting: 0,
        dead_letters: 0,
        newest_dead_at: None,
    }
}

/// Each entry as a line: severity, kind, what it is about, text and cause.
fn told(facts: &Facts, gateway: Option<&GatewayFacts>) -> Vec<String> {
    let line = |entry: Attention| {
        let id = entry.subject.id.unwrap_or_default();
        let Attention { severity, kind, text, cause, count, .. } = entry;
        format!("{severity} {kind} {}:{id} x{count} | {text} | {cause}", entry.subject.kind)
    };
    attention(facts, gateway).into_iter().map(line).collect()
}

#[test]
fn nothing_is_said_if_all_is_well() {
    assert_eq!(told(&nothing(), None), [""; 0]);
    let well = GatewayFacts {
        not_writing: None,
        not_ready: Vec::new(),
        disk: Some((1 << 40, 1 << 30)),
        database: Some((1 << 20, 1 << 30)),
        certificates: vec![("the API", NOW.after(Duration::from_secs(40 * 86_400)))],
    };
    let facts = Facts { webhooks: vec![webhook(1)], ..nothing() };
    assert_eq!(told(&facts, Some(&well)), [""; 0]);
}

#[test]
fn stations_of_a_site_that_left_together_are_one_entry() {
    let left = |nth: usize| station(nth, Some("P4"), 14_700.0 - 0.4 * nth as f64);
    let mut facts = Facts { stations: (0..6).map(left).collect(), ..nothing() };
    let all = "bad stations_offline site:P4 x6 | 6 stations of site P4 are offline | All six left within 2 s at \
               07:55 UTC: likely the site's uplink or power.";
    assert_eq!(told(&facts, None), [all]);
    facts.stations.remove(0);
    facts.stations.push(station(7, Some("P5"), 14_700.0));
    let some = "bad stations_offline site:P4 x5 | 5 stations of site P4 are offline | Five of six left within 2 s at \
                07:55 UTC: likely the site's uplink or power.";
    let one = "warn station_offline station:CP_7 x1 | CP_7 is offline | At 07:55 UTC the \
                 connection broke off: the station lost its power or its network.";
    assert_eq!(told(&facts, None), [some, one]);
}

#[test]
fn stations_from_everywhere_that_left_together_point_at_the_gateway() {
    let mut facts = Facts { stations: (1..41).map(|nth| station(nth, None, 300.0)).collect(), ..nothing() };
    let all = "bad stations_offline gateway: x40 | 40 stations are offline | 40 of 100 left at the same moment at \
               11:55 UTC: likely the gateway's own network, since they are from different places.";
    assert_eq!(told(&facts, None), [all]);
    // Right after a start they are still on their way.
    facts.started_at = ago(40);
    let starting = "info gateway_started gateway: x1 | 40 stations are not back yet since the gateway started | It was \
                    started 40 s ago; chargers take up to some minutes to connect again.";
    assert_eq!(told(&facts, None), [starting]);
}

#[test]
fn stations_that_left_at_different_times_are_told_one_by_one_up_to_a_number() {
    let left = |nth: usize| station(nth, None, 3_600.0 * nth as f64);
    let mut facts = Facts { stations: (1..=30).map(left).collect(), ..nothing() };
    let lines = told(&facts, None);
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let first = "warn station_offline station:CP_1 x1 | CP_1 is offline | At 11:00 UTC the \
                 connection broke off: the station lost its power or its network.";
    assert!(lines.contains(&first.to_owned()), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("x26 | 26 more stations are offline")), "{lines:#?}");
    facts.stations = vec![TroubledStation { connected: true, ..station(1, None, 90_000.0) }];
    let silent = "warn station_offline station:CP_1 x1 | CP_1 has fallen silent | Nothing has come since 11:00 UTC on \
                  2026-04-13, though its connection is open.";
    assert_eq!(told(&facts, None), [silent]);
}

#[test]
fn a_webhook_that_fails_says_since_when_why_and_until_when() {
    let lane = LaneFact { open_since: Some(ago(600)), unreadable: false, disable_after_ms: 5 * 86_400_000 };
    let failing = WebhookFact {
        lane,
        failing_since: Some(ago(900)),
        last_error: Some(("http_status".to_owned(), "the endpoint answered 500".to_owned())),
        waiting: 12,
        dead_letters: 31,
        newest_dead_at: Some(ago(60)),
        ..webhook(7)
    };
    let facts = Facts { webhooks: vec![failing], ..nothing() };
    let line = "bad webhook_failing webhook:7 x1 | Webhook CRM fails | No delivery has arrived since 11:45 UTC; the last \
                error: the endpoint answered 500 (http_status); 12 deliveries wait; 31 dead letters so far; it \
                will be disabled at 11:45 UTC on 2026-04-19 unless one arrives.";
    assert_eq!(told(&facts, None), [line]);
}

#[test]
fn webhooks_are_told_by_what_is_the_matter() {
    let facts = Facts {
        webhooks: vec![
            WebhookFact { dead_letters: 1, newest_dead_at: Some(ago(60)), ..webhook(1) },
            WebhookFact {
                status: WebhookStatus::AutoDisabled,
                since: Some(ago(50)),
                reason: Some("the endpoint answered 410 Gone".to_owned()),
                ..webhook(2)
            },
            WebhookFact {
                status: WebhookStatus::Paused,
                since: Some(ago(200_000)),
                waiting: 1,
                ..webhook(3)
            },
            WebhookFact { lane: LaneFact { unreadable: true, ..LaneFact::default() }, ..webhook(4) },
            WebhookFact { id: None, dead_letters: 2, newest_dead_at: Some(ago(400_000)), ..webhook(0) },
        ],
        ..nothing()
    };
    let lines = [
        "bad webhook_disabled webhook:2 x1 | Webhook CRM was disabled by the gateway | The endpoint answered 410 Gone: \
         events since then are not delivered to it.",
        "bad webhook_unreadable webhook:4 x1 | Nothing is sent to webhook CRM | One of its settings cannot be read; the \
         log says which. Its deliveries wait.",
        "warn dead_letters webhook:1 x1 | Webhook CRM has 1 dead letter | Their retry schedules are used up, the last one \
         at 11:59 UTC; nobody has sent them again.",
        "warn webhook_paused webhook:3 x1 | Webhook CRM has been paused for 2 days | Somebody has paused it; 1 delivery \
         waits until it is resumed.",
        "info dead_letters webhook: x1 | URLs that came with their events have 2 dead letters | Their retry schedules are \
         used up, the last one at 20:53 UTC on 2026-04-09; nobody has sent them again.",
    ];
    assert_eq!(told(&facts, None), lines);
    let many =
        (1..=50).map(|id| WebhookFact { dead_letters: 3, newest_dead_at: Some(ago(60)), ..webhook(id) });
    let lines = told(&Facts { webhooks: many.collect(), ..nothing() }, None);
    assert_eq!(lines.len(), 5);
    assert!(lines[4].contains("x46 | 46 more webhooks have dead letters too"), "{}", lines[4]);
}

#[test]
fn a_faulted_connector_says_what_its_code_means_and_how_often() {
    let faulted = |connector_id, times_this_week| FaultedConnector {
        station_id: "CP_1".to_owned(),
        connector_id,
        error_code: Some("GroundFailure".to_owned()),
        vendor_error_code: None,
        info: Some("RCD 2".to_owned()),
        since: ago(60),
        times_this_week,
    };
    let facts = Facts { faulted: vec![faulted(2, 3)], ..nothing() };
    let line = "bad connector_faulted connector:CP_1/2 x1 | Connector 2 of CP_1 is faulted: GroundFailure | The \
                residual current protection has tripped (GroundFailure), \"RCD 2\"; it is the third time this week.";
    assert_eq!(told(&facts, None), [line]);
    let many = Facts { faulted: (0..20).map(|nth| faulted(nth, 0)).collect(), ..nothing() };
    let lines = told(&many, None);
    assert_eq!(lines.len(), 5);
    assert!(
        lines[4].ends_with("x16 | 16 more connectors are faulted | They report GroundFailure."),
        "{lines:#?}"
    );
}

#[test]
fn oddities_of_stations_and_boots_are_told_together_if_they_are_many() {
    let odd = |nth: usize, flag: &str| TroubledStation {
        connected: true,
        offline: false,
        flags: vec![flag.to_owned()],
        clock_skew_ms: Some(-7_200_000),
        unanswered_since: None,
        ..station(nth, None, 0.0)
    };
    let mut stations: Vec<TroubledStation> = (0..30).map(|nth| odd(nth, "clock_skew")).collect();
    stations.push(odd(90, "flapping"));
    stations.push(TroubledStation { boot_status: BootStatus::Pending, ..odd(91, "odd_path") });
    let facts = Facts { stations, ..nothing() };
    let lines = told(&facts, None);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0]
            .starts_with("warn station_flapping station:CP_90 x1 | CP_90 connects again and again | Each")
    );
    assert!(
        lines[1].starts_with("info clock_wrong station: x30 | 30 stations have wrong clocks | Times of"),
        "{lines:#?}"
    );
    assert!(
        lines[2].starts_with("info boot_pending station:CP_91 x1 | CP_91 waits for its approval"),
        "{lines:#?}"
    );
    let one = told(&Facts { stations: vec![odd(1, "clock:never_set")], ..nothing() }, None);
    assert!(one[0].contains("| CP_1 has a wrong clock | It is 2 h behind: times"), "{one:?}");
}

#[test]
fn sessions_that_need_a_look_are_told() {
    let doubtful = |transaction_id, quality| DoubtfulSession {
        transaction_id,
        station_id: "CP_1".to_owned(),
        quality,
        completed_at: ago(60),
    };
    let open = |transaction_id| OpenSession {
        transaction_id,
        station_id: "CP_1".to_owned(),
        started_at: ago(3 * 86_400),
        heard_at: None,
    };
    let sessions = SessionFacts {
        doubtful: (0..9)
            .map(|id| doubtful(id, EnergyQuality::Missing))
            .chain([doubtful(77, EnergyQuality::Implausible)])
            .collect(),
        orphaned: vec![open(5)],
        long: vec![open(6)],
    };
    let lines = told(&Facts { sessions, ..nothing() }, None);
    let begins = [
        "warn energy_implausible transaction:77 x1 | Session 77 on CP_1 has an implausible energy | ",
        "warn session_orphaned transaction:5 x1 | Session 5 on CP_1 was never stopped | ",
        "warn session_long transaction:6 x1 | Session 6 on CP_1 has been active for 3 days | ",
        "info energy_missing transaction: x9 | 9 sessions of the last seven days have no energy | ",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[test]
fn the_gateways_own_troubles_come_first() {
    let gateway = GatewayFacts {
        not_writing: Some((ago(5), "the commit failed: disk full".to_owned())),
        not_ready: Vec::new(),
        disk: Some((1 << 20, 1 << 30)),
        database: Some((9 << 30, 10 << 30)),
        certificates: vec![
            ("the API", ago(10)),
            ("the OCPP listener", NOW.after(Duration::from_secs(20 * 86_400))),
        ],
    };
    let facts = Facts {
        webhooks: vec![WebhookFact {
            lane: LaneFact { open_since: Some(ago(600)), ..LaneFact::default() },
            ..webhook(7)
        }],
        ..nothing()
    };
    let kinds: Vec<Kind> = attention(&facts, Some(&gateway)).iter().map(|entry| entry.kind).collect();
    let expected = [
        Kind::StorageFailing,
        Kind::DiskNearlyFull,
        Kind::CertificateExpires,
        Kind::WebhookFailing,
        Kind::CertificateExpires,
        Kind::DatabaseNearlyFull,
    ];
    assert_eq!(kinds, expected);
    let lines = told(&facts, Some(&gateway));
    assert!(
        lines[0].ends_with("| The commit failed: disk full; until that works again, no charger is answered.")
    );
    assert!(lines[1].contains("Only 1 MiB are free where the data directory is"), "{}", lines[1]);
    assert!(lines[4].contains(
        "certificate:the OCPP listener x1 | The certificate of the OCPP listener expires in 20 days"
    ));
    assert_eq!(told(&facts, None).len(), 1, "customers are told nothing of it");
}

#[test]
fn a_station_is_unresponsive_since_the_first_command_that_it_left_unanswered() {
    let silent = |nth: usize, s: u64| TroubledStation {
        connected: true,
        offline: false,
        flags: vec!["unresponsive".to_owned()],
        unanswered_since: Some(ago(s)),
        ..station(nth, None, 0.0)
    };
    let facts = Facts { stations: vec![silent(1, 90)], ..nothing() };
    let all = attention(&facts, None);
    let told = all.iter().find(|entry| entry.kind == Kind::StationUnresponsive).expect("it is told");
    assert_eq!(told.since, Some(ago(90)));
}

#[test]
fn the_list_stays_short_however_much_is_wrong() {
    let flags = ["flapping", "boot_loop", "unresponsive", "clock_skew"];
    let stations = (0..5_000).map(|nth| TroubledStation {
        connected: nth % 2 == 0,
        flags: flags.map(str::to_owned).to_vec(),
        ..station(nth, Some(&format!("S{}", nth % 700)), 40.0 * nth as f64)
    });
    let facts = Facts { stations: stations.collect(), ..nothing() };
    let all = attention(&facts, None);
    assert!(all.len() <= 20, "{}", all.len());
    assert!(all.iter().all(|entry| entry.ids.len() <= 20));
}

fn refused(nth: usize, is_ours: bool, reason: &str) -> RefusedStation {
    let identity = format!("CP_{nth}");
    RefusedStation {
        station_id: is_ours.then(|| identity.clone()),
        identity,
        reason: reason.to_owned(),
        remote_addr: "192.0.2.9:40000".to_owned(),
        count: 12,
        since: ago(14_700),
        last_at: ago(60),
    }
}

#[test]
fn whoever_tries_and_is_refused_is_told_with_the_cause_in_place_of_being_offline() {
    let facts = Facts {
        stations: vec![station(1, None, 14_700.0)],
        refused: vec![
            refused(1, true, "bad_credentials"),
            RefusedStation { count: 1, ..refused(2, false, "unknown_station") },
        ],
        ..nothing()
    };
    let wrong_password = "warn refused_handshakes station:CP_1 x1 | CP_1 tries to connect and is refused | Its \
                          password is missing or is not the one that is registered here; it was refused 12 times, \
                          last at 11:59 UTC from 192.0.2.9:40000.";
    let unknown = "info refused_handshakes station:CP_2 x1 | \"CP_2\" is no station here, and tries to connect | No \
                   such station is registered, and stations.unknown is \"reject\"; it was refused once, from \
                   192.0.2.9:40000.";
    assert_eq!(told(&facts, None), [wrong_password, unknown]);
    assert_eq!(attention(&facts, None)[0].since, Some(ago(14_700)));
}

#[test]
fn many_that_are_refused_are_few_entries() {
    let ours =
        (0..30).map(|nth| refused(nth, true, if nth < 20 { "wrong_certificate" } else { "bad_credentials" }));
    let strangers = (100..900).map(|nth| refused(nth, false, "unknown_station"));
    let facts = Facts { refused: ours.chain(strangers).collect(), ..nothing() };
    let told = told(&facts, None);
    assert_eq!(told.len(), 6);
    let rest = "warn refused_handshakes station: x26 | 26 more registered stations try to connect and are refused | \
                Of 16 of them: the client certificate that it shows is not that of this station.";
    let unknown = "info refused_handshakes station: x800 | 800 unknown identities try to connect and are refused | Of \
                   each: no such station is registered, and stations.unknown is \"reject\".";
    assert_eq!(told[4..], [rest, unknown]);
}

#[test]
fn an_address_fails_if_a_station_has_left_from_there() {
    let failing = |address: &str| FailingAddress {
        address: address.to_owned(),
        words: "plain HTTP on a TLS port: connect with wss://".to_owned(),
        count: 3,
        first_at: ago(10_000),
        last_at: ago(60),
    };
    let facts = Facts {
        stations: vec![station(7, None, 14_700.0)],
        // The second one is a stranger's.
        failing_addresses: vec![failing("192.0.2.7"), failing("198.51.100.1")],
        ..nothing()
    };
    let told = told(&facts, None);
    let fails = "warn refused_handshakes address:192.0.2.7 x1 | Connections from 192.0.2.7 fail | Plain HTTP on a TLS \
                 port: connect with wss://; it was so last at 11:59 UTC, and CP_7 has last come from there.";
    assert!(told.len() == 2 && told.contains(&fails.to_owned()), "{told:#?}");
    let back = Facts {
        failing_addresses: vec![FailingAddress { last_at: ago(20_000), ..failing("192.0.2.7") }],
        ..facts
    };
    assert_eq!(self::told(&back, None).len(), 1, "it left after that");
}
