//! What a row says of its energy is what its evidence comes to, whatever has happened to it.

use std::time::Duration;

use proptest::prelude::*;

use super::evidence::{EVIDENCE, evidence};
use super::*;
use crate::engine::tx::Read;
use crate::sessions::completion;
use crate::sessions::energy::{self, Energy};
use crate::{ManualStop, Priority, Scope, Store};
use vocabulary::clock::Clock;
use vocabulary::ocpp::fact::{MeterValue, SampledValue};

const BEGAN: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);

/// Something that happens to sessions; numbers choose which one, of those there are.
#[derive(Debug, Clone)]
enum Step {
    Start { connector: i64, minute: u64, meter: Option<i64> },
    Meter { of: usize, minute: u64, wh: i64, power_w: Option<i64> },
    Stop { of: usize, minute: u64, meter: Option<i64>, last: Option<i64> },
    Close { of: usize, meter: Option<i64> },
    GiveUp,
}

fn step() -> impl Strategy<Value = Step> {
    let meter = || prop::option::of(prop_oneof![0i64..100, 100_000i64..160_000, Just(900_000)]);
    let minute = 0u64..600;
    prop_oneof![
        3 => (1i64..3, minute.clone(), meter())
            .prop_map(|(connector, minute, meter)| Step::Start { connector, minute, meter }),
        8 => (0usize..8, minute.clone(), 0i64..200_000, prop::option::of(0i64..30_000))
            .prop_map(|(of, minute, wh, power_w)| Step::Meter { of, minute, wh, power_w }),
        3 => (0usize..8, minute, meter(), meter())
            .prop_map(|(of, minute, meter, last)| Step::Stop { of, minute, meter, last }),
        1 => (0usize..8, meter()).prop_map(|(of, meter)| Step::Close { of, meter }),
        1 => Just(Step::GiveUp),
    ]
}

fn at(minute: u64) -> Timestamp {
    BEGAN.after(Duration::from_secs(minute * 60))
}

fn metered(minute: u64, wh: i64, power_w: Option<i64>) -> MeterValue {
    let sample = |measurand: &str, value: i64| SampledValue {
        value: value.to_string(),
        value_base: Some(value.to_string()),
        measurand: measurand.to_owned(),
        context: "Sample.Periodic".to_owned(),
        location: "Outlet".to_owned(),
        format: "Raw".to_owned(),
        ..SampledValue::default()
    };
    let register = sample("Energy.Active.Import.Register", wh);
    let power = power_w.map(|power_w| sample("Power.Active.Import", power_w));
    MeterValue {
        timestamp: Some(at(minute)),
        sampled_value: std::iter::once(register).chain(power).collect(),
    }
}

/// The session that a step is about.
fn chosen(db: &Read<'_>, of: usize) -> Result<Option<MeteredTransaction>> {
    let all: Vec<MeteredTransaction> = db.all(
        "SELECT transaction_id, status = 'completed', orphaned FROM transactions ORDER BY transaction_id",
        &[],
        |row| {
            let (transaction_id, completed, orphaned) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(MeteredTransaction { transaction_id, completed, orphaned, main_meter: false })
        },
    )?;
    Ok(all.get(of % all.len().max(1)).copied())
}

fn take(w: &mut Tx<'_>, number: i64, step: &Step) -> Result<()> {
    let received_at = at(600);
    let event_seq = LogPosition::from_number(number);
    match *step {
        Step::Start { connector, minute, meter } => {
            let station: StationId = "CP".parse().expect("an identity");
            let started = SessionStarted {
                connector_id: Some(connector),
                meter_start_wh: meter,
                ..SessionStarted::default()
            };
            let new = NewTransaction {
                transaction_id: number,
                id_tag_status: AuthorizationStatus::Accepted,
                id_tag_reason: None,
                reservation_id: None,
                occurred_at: Some(at(minute)),
                received_at,
                event_seq,
            };
            start(w, &station, None, &started, &new)
        }
        Step::Meter { of, minute, wh, power_w } => match chosen(w, of)? {
            Some(of) => {
                completion::add_meter_values(w, of, &[metered(minute, wh, power_w)], None, received_at)
            }
            None => Ok(()),
        },
        Step::Stop { of, minute, meter, last } => {
            let Some(of) = chosen(w, of)? else { return Ok(()) };
            let has_stop = w.has(
                "SELECT 1 FROM transactions WHERE transaction_id = ?1 AND stop_event_seq IS NOT NULL",
                params![of.transaction_id],
            )?;
            if has_stop {
                return Ok(());
            }
            let transaction_data = last.map(|wh| metered(minute, wh, None)).into_iter().collect();
            let stop = SessionEnded { meter_stop_wh: meter, transaction_data, ..SessionEnded::default() };
            let matched = MatchedStop {
                transaction_id: of.transaction_id,
                inferred: false,
                completed: of.completed,
                occurred_at: Some(at(minute)),
                received_at,
                event_seq,
            };
            completion::stop(w, &stop, &matched)
        }
        Step::Close { .. } | Step::GiveUp => Ok(()),
    }
}

async fn happen(store: &Store, number: i64, step: Step) -> Result<()> {
    match step {
        Step::Close { of, meter } => {
            let Some(of) = store.read(move |db| chosen(db, of)).await? else { return Ok(()) };
            let stop = ManualStop { meter_stop_wh: meter, ..ManualStop::default() };
            store.close_transaction(of.transaction_id, stop).await.map(drop)
        }
        Step::GiveUp => store.complete_orphans(at(10_000)).await.map(drop),
        step => store.write(Priority::Api, Scope::Installation, move |w| take(w, number, &step)).await,
    }
}

/// The transactions whose row says something else than their evidence.
async fn wrong(store: &Store) -> Vec<i64> {
    let rows = store.read(|db| {
        let select = format!(
            "SELECT transaction_id, energy_wh, energy_estimated_wh, energy_quality, {EVIDENCE}
             FROM transactions"
        );
        db.all(&select, &[], |row| {
            let stored = Energy { wh: row.get(1)?, estimated_wh: row.get(2)?, quality: row.word(3)? };
            Ok((row.get::<i64>(0)?, stored == energy::weigh(&evidence(row, 4)?)))
        })
    });
    let rows = rows.await.expect("reads");
    rows.into_iter().filter_map(|(number, is_right)| (!is_right).then_some(number)).collect()
}

fn check(steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::manual(at(700))).expect("opens");
        for (number, step) in steps.into_iter().enumerate() {
            happen(&store, number as i64 + 1, step).await.expect("is written");
        }
        assert_eq!(wrong(&store).await, [0i64; 0], "as it went");
        // As an earlier version leaves them.
        store
            .seed_run(
                "UPDATE transactions
                 SET energy_wh = NULL, energy_estimated_wh = NULL, energy_quality = NULL",
            )
            .await;
        store.close();
        let store = Store::open(dir.path(), Clock::manual(at(700))).expect("opens again");
        assert_eq!(wrong(&store).await, [0i64; 0], "weighed at the start");
        store.close();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_row_says_what_its_evidence_comes_to(steps in prop::collection::vec(step(), 1..40)) {
        check(steps);
    }
}

#[tokio::test]
async fn what_an_earlier_version_left_under_way_shows_its_newest_values() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), Clock::manual(at(700))).expect("opens");
    for (number, step) in [
        Step::Start { connector: 1, minute: 0, meter: Some(100_000) },
        Step::Meter { of: 0, minute: 10, wh: 101_000, power_w: Some(7_000) },
        Step::Meter { of: 0, minute: 20, wh: 102_000, power_w: None },
    ]
    .into_iter()
    .enumerate()
    {
        happen(&store, number as i64 + 1, step).await.expect("is written");
    }
    let shown = |store: Store| async move { store.transaction(1).await.expect("reads").expect("is there") };
    let before = shown(store.clone()).await;
    assert_eq!((before.power_w, before.energy_so_far_wh), (Some(7_000), Some(2_000)));
    assert_eq!((before.soc_percent, before.duration_s), (None, Some(700 * 60)));
    store.seed_run("UPDATE transactions SET energy_quality = NULL, power_w = NULL, power_at_ms = NULL").await;
    store.close();
    let store = Store::open(dir.path(), Clock::manual(at(700))).expect("opens again");
    assert_eq!(shown(store).await, before);
}
