//! What was received is stored: to the end and in order, however the connection ends and whoever ends it.
//! Only answers are dropped, where they cannot be sent any more.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tls::Stream;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use vocabulary::units::ByteSize;

use crate::harness::{Charger, Running, eventually, start};
use crate::talks::stored;
use crate::tls::Place;

fn transfer(nth: usize) -> Message {
    Message::text(format!(r#"[2,"{nth}","DataTransfer",{{"vendorId":"v","data":"{nth}"}}]"#))
}

/// Has all of it leave in one go, and waits for no answer.
async fn send(charger: &mut Charger, messages: impl IntoIterator<Item = Message>) {
    for message in messages {
        charger.socket.feed(message).await.expect("queues");
    }
    charger.socket.flush().await.expect("sends");
}

/// The socket of a charger that is not encrypted.
fn tcp(charger: Charger) -> TcpStream {
    match charger.socket.into_inner() {
        Stream::Plain(stream) => stream,
        Stream::Tls(_) => panic!("plain"),
    }
}

/// The numbers of the messages that are on record.
fn kept(gateway: &Running, station: &str) -> Vec<usize> {
    let events = stored(gateway, station).into_iter().filter(|event| event.event == "DataTransfer");
    events.map(|event| event.message_id.expect("an id").parse().expect("a number")).collect()
}

fn names(gateway: &Running, station: &str) -> Vec<String> {
    stored(gateway, station).into_iter().map(|event| event.event).collect()
}

/// Waits until the connection's end is on record, and sees that all messages are, in order and in front of
/// it.
async fn all_kept(gateway: &Running, station: &str, count: usize, how: &str) -> Value {
    let ended = eventually("the end is on record", || async {
        gateway.events_of(station, "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(kept(gateway, station), (0..count).collect::<Vec<_>>(), "{how}");
    assert_eq!(names(gateway, station).last().map(String::as_str), Some("StationDisconnected"), "{how}");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_and_closes_at_once_has_said_all_of_it() {
    let gateway = start(|_| {}).await;
    for round in 0..8 {
        let station = |how: &str| format!("{how}-{round}");
        // FIN, with answers that nobody reads.
        let mut charger = gateway.charger(&station("FIN")).await;
        send(&mut charger, (0..3).map(transfer)).await;
        drop(charger);
        // A close frame.
        let mut charger = gateway.charger(&station("CLOSE")).await;
        send(&mut charger, (0..3).map(transfer).chain([Message::Close(None)])).await;
        drop(charger);
        // Pings between them, whose pongs fail as well.
        let mut charger = gateway.charger(&station("PING")).await;
        let pings =
            (0..20).flat_map(|nth| [Message::Ping("x".into()), transfer(nth), Message::Ping("y".into())]);
        send(&mut charger, pings).await;
        drop(charger);
        // RST.
        let mut charger = gateway.charger(&station("RST")).await;
        send(&mut charger, (0..3).map(transfer)).await;
        let stream = tcp(charger);
        stream.set_zero_linger().expect("can be set");
        drop(stream);
        for (how, count) in [("FIN", 3), ("CLOSE", 3), ("PING", 20), ("RST", 3)] {
            let ended = all_kept(&gateway, &station(how), count, how).await;
            let reason = if how == "CLOSE" { "closed_by_station" } else { "connection_lost" };
            assert_eq!(ended["payload"]["reason"], reason, "{how}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_through_tls() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    let client = place.client();
    let dial = async |station: &str| {
        client.dial(gateway.ocpp(), station, None).await.expect("TLS").expect("welcome")
    };
    for round in 0..4 {
        let station = |how: &str| format!("{how}-{round}");
        let mut charger = dial(&station("FIN")).await;
        send(&mut charger, (0..50).map(transfer)).await;
        drop(charger);
        let mut charger = dial(&station("CLOSE")).await;
        send(&mut charger, (0..50).map(transfer).chain([Message::Close(None)])).await;
        drop(charger);
        // What is no TLS any more, behind records that are: it may be read with them in one go.
        let mut charger = dial(&station("GARBAGE")).await;
        send(&mut charger, (0..50).map(transfer)).await;
        let Stream::Tls(mut stream) = charger.socket.into_inner() else { panic!("encrypted") };
        stream.get_mut().0.write_all(&[0xff; 64]).await.expect("sends");
        drop(stream);
        for how in ["FIN", "CLOSE", "GARBAGE"] {
            all_kept(&gateway, &station(how), 50, how).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_takeovers_keep_all_that_was_sent_before_them() {
    let gateway = start(|_| {}).await;
    let takeover = async |nth: usize| {
        let station = format!("CP{nth}");
        let mut old = gateway.charger(&station).await;
        // It is served already; the next test has one that is not.
        old.still_serves().await;
        send(&mut old, (0..100).map(transfer)).await;
        let mut new = gateway.charger(&station).await;
        new.still_serves().await;
        let names = names(&gateway, &station);
        assert_eq!(names[..3], ["StationDiscovered", "StationConnected", "Heartbeat"]);
        assert_eq!(kept(&gateway, &station), (0..100).collect::<Vec<_>>(), "takeover {nth}");
        // Whatever was sent before comes before what was sent afterwards.
        assert_eq!(names[103..], ["StationDisconnected", "StationConnected", "Heartbeat"], "takeover {nth}");
    };
    for ten in 0..6 {
        futures_util::future::join_all((0..10).map(|nth| takeover(10 * ten + nth))).await;
    }
}

/// Between the answer to a handshake and the first row of its connection a newer handshake may overtake it:
/// then both are served side by side, and nobody knows in which order. Nothing is lost by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_that_are_overtaken_on_their_way_in_are_served_too() {
    let gateway = start(|_| {}).await;
    let overtaken = async |nth: usize| {
        let station = format!("CP{nth}");
        let mut old = gateway.charger(&station).await;
        send(&mut old, (0..100).map(transfer)).await;
        let mut new = gateway.charger(&station).await;
        new.still_serves().await;
        eventually("the end of the old one is on record", || async {
            gateway.events_of(&station, "StationDisconnected").await.pop()
        })
        .await;
        assert_eq!(kept(&gateway, &station), (0..100).collect::<Vec<_>>(), "overtaken {nth}");
        new.still_serves().await;
        let connected =
            gateway.api("GET", &format!("/stations/{station}"), None).await.1["connected"].clone();
        assert_eq!(connected, true, "the newer one stays: {nth}");
    };
    for ten in 0..6 {
        futures_util::future::join_all((0..10).map(|nth| overtaken(10 * ten + nth))).await;
    }
}

/// What a connection that we end is told, and what the record says of it.
async fn ended(gateway: &Running, charger: &mut Charger, station: &str) -> (Option<u16>, Value) {
    let code = charger.closed().await.map(|frame| frame.code.into());
    let ended = eventually("the end is on record", || async {
        gateway.events_of(station, "StationDisconnected").await.pop()
    })
    .await;
    (code, ended["payload"]["reason"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_we_close_is_served_and_answered() {
    let gateway = start(|_| {}).await;
    // Somebody asks for it.
    let mut charger = gateway.charger("ASKED").await;
    // The handshake is answered before the station's first row is written: only then can it be disconnected.
    charger.still_serves().await;
    send(&mut charger, (0..100).map(transfer)).await;
    assert_eq!(gateway.api("POST", "/stations/ASKED/disconnect", None).await.0, 202);
    for nth in 0..100 {
        assert!(charger.receive().await.starts_with(&format!(r#"[3,"{nth}","#)), "answer {nth}");
    }
    assert_eq!(ended(&gateway, &mut charger, "ASKED").await, (Some(1000), json!("requested")));
    assert_eq!(kept(&gateway, "ASKED").len(), 100);
    // It has sent what is not OCPP: more of that is passed over.
    let mut charger = gateway.charger("BINARY").await;
    let garbage = || Message::binary(vec![0xff; 9]);
    send(&mut charger, [transfer(0), garbage(), transfer(1), garbage(), transfer(2)]).await;
    assert_eq!(ended(&gateway, &mut charger, "BINARY").await.0, Some(1003));
    assert_eq!(kept(&gateway, "BINARY"), [0, 1, 2]);
    assert_eq!(gateway.events_of("BINARY", "MessageRejected").await.len(), 1);
    let mut charger = gateway.charger("JUNK").await;
    let junk = (0..40).map(|_| Message::text("junk"));
    send(&mut charger, [transfer(0)].into_iter().chain(junk).chain([transfer(1)])).await;
    assert_eq!(ended(&gateway, &mut charger, "JUNK").await.0, Some(1002));
    assert_eq!(kept(&gateway, "JUNK"), [0, 1]);
    assert_eq!(gateway.events_of("JUNK", "MessageRejected").await.len(), 21);
    // Behind a frame that cannot be read nothing can be; what came before it is there.
    let mut charger = gateway.charger("UTF8").await;
    let latin1 = Frame::message(vec![0xe9; 3], OpCode::Data(Data::Text), true);
    send(&mut charger, (0..3).map(transfer).chain([Message::Frame(latin1)])).await;
    assert_eq!(ended(&gateway, &mut charger, "UTF8").await.0, Some(1007));
    assert_eq!(kept(&gateway, "UTF8"), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_serves_what_it_has_received() {
    let gateway = start(|_| {}).await;
    let mut chargers = Vec::new();
    for nth in 0..5 {
        let mut charger = gateway.charger(&format!("CP{nth}")).await;
        charger.still_serves().await;
        chargers.push(charger);
    }
    for charger in &mut chargers {
        send(charger, (0..100).map(transfer)).await;
    }
    // Each closes in its turn: the gateway waits for that.
    let told = chargers.into_iter().map(|mut charger: Charger| async move { charger.closed().await });
    let told = futures_util::future::join_all(told);
    let (gateway, told) = tokio::join!(gateway.restart(|_| {}), told);
    for (nth, frame) in told.into_iter().enumerate() {
        assert_eq!(frame.map(|frame| frame.code.into()), Some(1001u16));
        let station = format!("CP{nth}");
        assert_eq!(kept(&gateway, &station), (0..100).collect::<Vec<_>>(), "{station}");
        let ended = gateway.events_of(&station, "StationDisconnected").await.pop().expect("one");
        assert_eq!(ended["payload"]["reason"], "shutdown");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_over_the_rate_loses_nothing_by_closing_or_coming_back() {
    let gateway = start(|config| {
        config.limits.messages_per_second = 40;
        config.limits.message_burst = 1;
    })
    .await;
    let mut charger = gateway.charger("CLOSES").await;
    send(&mut charger, (0..30).map(transfer)).await;
    drop(charger);
    // Served at its rate it would take as long as all of them: the new one does not wait for that.
    let mut old = gateway.charger("BACK").await;
    // It is served already: one that is overtaken on its way in brings what it has beside the newer one.
    old.still_serves().await;
    send(&mut old, (0..200).map(transfer)).await;
    let began = Instant::now();
    let mut new = gateway.charger("BACK").await;
    new.still_serves().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(kept(&gateway, "BACK"), (0..200).collect::<Vec<_>>());
    all_kept(&gateway, "CLOSES", 30, "closes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_the_old_socket_does_not_hold_up_the_new_one() {
    let gateway = start(|config| config.limits.message_size = ByteSize(64 << 10)).await;
    let old = gateway.charger("FLOOD").await;
    let (mut flood, mut answers) = old.socket.split();
    // Large ones, which cost time: the buffers hold hundreds of them.
    let flooding = tokio::spawn(async move {
        let data = "x".repeat(32 << 10);
        let message = |nth| format!(r#"[2,"{nth}","DataTransfer",{{"vendorId":"v","data":"{data}"}}]"#);
        let mut sent = 0;
        while flood.send(Message::text(message(sent))).await.is_ok() {
            sent += 1;
        }
    });
    tokio::spawn(async move { while answers.next().await.is_some_and(|answer| answer.is_ok()) {} });
    eventually("it floods", || async { (kept(&gateway, "FLOOD").len() > 5).then_some(()) }).await;
    let began = Instant::now();
    let mut new = gateway.charger("FLOOD").await;
    new.still_serves().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    eventually("the old one is closed although it goes on", || async {
        flooding.is_finished().then_some(())
    })
    .await;
    // All that is on record of it is there without a gap.
    let kept = kept(&gateway, "FLOOD");
    assert_eq!(kept, (0..kept.len()).collect::<Vec<_>>());
}

#[tokio::test]
async fn how_a_charger_has_closed_is_on_record() {
    let gateway = start(|_| {}).await;
    let said = |code: u16, reason: &str| {
        Message::Close(Some(CloseFrame { code: code.into(), reason: reason.to_owned().into() }))
    };
    for (station, frame, code, reason) in [
        ("SAYS", said(1000, "reboot"), json!(1000), "reboot"),
        ("SHORT", said(1001, ""), json!(1001), "closed_by_station"),
        ("MUTE", Message::Close(None), Value::Null, "closed_by_station"),
    ] {
        let mut charger = gateway.charger(station).await;
        charger.still_serves().await;
        send(&mut charger, [frame]).await;
        charger.closed().await;
        let ended = all_kept(&gateway, station, 0, station).await;
        assert_eq!(
            (&ended["payload"]["code"], &ended["payload"]["reason"]),
            (&code, &json!(reason)),
            "{station}"
        );
    }
}
