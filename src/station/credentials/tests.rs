//! Passwords, right and wrong, without and with their light part.

use super::hash_queue::{QUEUE_MAX, QUEUE_MAX_PER_STATION};
use super::*;

const RIGHT: &[u8] = b"a plain password";

fn passwords(light: bool) -> Passwords {
    Passwords::new(light.then(|| LightKey::new([7; 32])), 10).expect("random")
}

fn station(id: &str) -> StationId {
    StationId::new(id).expect("legal")
}

async fn check(passwords: &Passwords, from: u8, password: &[u8], verifiers: &[&String]) -> PasswordCheck {
    let presented = PresentedPassword { station: &station("CP_1"), from: [192, 0, 2, from].into(), password };
    passwords.check(presented, verifiers).await
}

const IS_RIGHT: PasswordCheck = PasswordCheck::Right { nth: 0, renewed: None };

#[tokio::test]
async fn what_was_right_or_wrong_is_known_without_a_hash() {
    let passwords = passwords(false);
    let verifier = passwords.hash(RIGHT).await.expect("hashes");
    let other = passwords.hash(b"another password").await.expect("hashes");
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, IS_RIGHT);
    assert_eq!(check(&passwords, 1, b"wrong", &[&verifier]).await, PasswordCheck::Wrong);
    // With every slow hash forbidden, only memory can answer.
    passwords.slow.close();
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, IS_RIGHT);
    let second = PasswordCheck::Right { nth: 1, renewed: None };
    assert_eq!(check(&passwords, 1, RIGHT, &[&other, &verifier]).await, second);
    assert_eq!(check(&passwords, 1, b"wrong", &[&verifier]).await, PasswordCheck::Wrong);
    assert_eq!(check(&passwords, 1, b"wrong", &[&other]).await, PasswordCheck::Busy, "another was set");
    assert_eq!(check(&passwords, 1, RIGHT, &[&other]).await, PasswordCheck::Busy, "another was set");
}

#[tokio::test]
async fn of_a_station_that_is_gone_nothing_is_remembered() {
    let passwords = passwords(false);
    let verifier = passwords.hash(RIGHT).await.expect("hashes");
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, IS_RIGHT);
    passwords.forget(&station("CP_2"));
    passwords.slow.close();
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, IS_RIGHT, "another one is gone");
    passwords.forget(&station("CP_1"));
    assert!(lock(&passwords.right).is_empty());
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, PasswordCheck::Busy);
}

#[tokio::test]
async fn after_a_restart_the_light_part_is_enough() {
    let verifier = passwords(true).hash(RIGHT).await.expect("hashes");
    let restarted = passwords(true);
    restarted.slow.close();
    assert_eq!(check(&restarted, 1, RIGHT, &[&verifier]).await, IS_RIGHT);
    assert_eq!(check(&restarted, 1, b"wrong", &[&verifier]).await, PasswordCheck::Wrong);
}

#[tokio::test]
async fn a_verifier_without_a_light_part_is_given_one() {
    let verifier = passwords(false).hash(RIGHT).await.expect("hashes");
    let other = passwords(true).hash(b"another password").await.expect("hashes");
    let with_key = passwords(true);
    let PasswordCheck::Right { nth: 1, renewed: Some(renewed) } =
        check(&with_key, 1, RIGHT, &[&other, &verifier]).await
    else {
        panic!("right, and renewed")
    };
    with_key.slow.close();
    assert_eq!(check(&with_key, 1, RIGHT, &[&renewed]).await, IS_RIGHT);
    assert_eq!(check(&passwords(true), 1, RIGHT, &[&renewed]).await, IS_RIGHT);
}

#[tokio::test]
async fn wrong_ones_in_a_row_are_not_looked_at_and_keep_no_right_one_out() {
    let passwords = passwords(true);
    let verifier = passwords.hash(RIGHT).await.expect("hashes");
    for nth in 0..10 {
        let wrong = format!("wrong {nth}");
        assert_eq!(check(&passwords, 1, wrong.as_bytes(), &[&verifier]).await, PasswordCheck::Wrong);
    }
    assert_eq!(check(&passwords, 1, b"wrong again", &[&verifier]).await, PasswordCheck::TooManyWrong);
    assert_eq!(
        check(&passwords, 1, RIGHT, &[&verifier]).await,
        PasswordCheck::TooManyWrong,
        "never seen yet"
    );
    assert_eq!(check(&passwords, 2, RIGHT, &[&verifier]).await, IS_RIGHT, "from its own address");
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, IS_RIGHT, "known by now");
    assert!(!passwords.note_missing(Instant::now(), &station("CP_1"), [192, 0, 2, 1].into()));
}

#[tokio::test]
async fn the_line_for_slow_hashes_is_short_and_shared_between_stations() {
    let passwords = Arc::new(passwords(false));
    let verifier = passwords.hash(RIGHT).await.expect("hashes");
    let all_busy = passwords.slow.acquire_many(hashes_at_once() as u32).await.expect("open");
    let places: Vec<_> = (0..QUEUE_MAX_PER_STATION)
        .map(|_| QueuePlace::take(&passwords.hash_queue, &station("CP_1")).expect("free"))
        .collect();
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, PasswordCheck::Busy);
    let others: Vec<_> = (0..100)
        .filter_map(|nth| QueuePlace::take(&passwords.hash_queue, &station(&format!("S{nth}"))))
        .collect();
    assert_eq!(places.len() + others.len(), QUEUE_MAX);
    drop((places, others, all_busy));
    assert_eq!(check(&passwords, 1, RIGHT, &[&verifier]).await, IS_RIGHT);
    let queue = lock(&passwords.hash_queue);
    assert!(queue.length == 0 && queue.of.is_empty());
}
