//! The planner alone, in virtual time.

use std::time::Duration;

use super::*;
use crate::delivery::send::{EndpointSign, SendEnd};
use store::{LaneClaimed, SigningSecretText};
use vocabulary::delivery::BodyFormat;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn settings(webhook_id: WebhookId, max_in_flight: usize) -> LaneSettings {
    LaneSettings {
        webhook_id,
        state: LaneState::Active,
        url: "https://example.com/".to_owned(),
        format: BodyFormat::Flat,
        signing_secrets: Vec::<SigningSecretText>::new(),
        secret: None,
        custom_headers: BTreeMap::new(),
        broker: None,
        station_order: None,
        timeout: Duration::from_secs(10),
        retry_schedule: vec![Duration::from_secs(30)],
        max_in_flight,
        rate_limit: None,
    }
}

/// Lanes 1, 2, … with work due from the beginning.
fn lanes(permits: usize, max_in_flight: &[usize]) -> Lanes {
    let mut lanes = Lanes::new(permits, 64 << 20);
    let all = (1..).zip(max_in_flight).map(|(id, max)| (settings(id, *max), Some(at(0)))).collect();
    lanes.configure(all, at(0));
    lanes
}

/// Answers a plan as a store does whose backlog never ends, or that has nothing left.
fn answer(lanes: &mut Lanes, plan: &Plan, endless: bool) {
    for claim in &plan.claims {
        let lane = lanes.get_mut(claim.webhook_id).expect("its lane");
        let answer = none_claimed(claim.webhook_id, endless.then_some(at(0)));
        lane.claimed(if endless { claim.limit } else { 0 }, &answer, at(0));
    }
}

/// An answer without the deliveries themselves, which the planner only counts.
fn none_claimed(webhook_id: WebhookId, next_due_at: Option<Timestamp>) -> LaneClaimed {
    LaneClaimed {
        webhook_id,
        deliveries: Vec::new(),
        next_due_at,
        not_admitted: None,
        after_station: String::new(),
    }
}

impl Lanes {
    /// As if the deliveries under way of a lane held so much.
    fn hold(&mut self, webhook_id: WebhookId, bytes: u64) {
        self.get_mut(webhook_id).expect("its lane").held = bytes;
    }
}

/// The end of a send that the planner counts.
fn ended(probe: bool, how: EndpointSign, retry_at: Option<Timestamp>) -> SendEnd {
    SendEnd { webhook_id: 0, payload_bytes: 0, probe, how, retry_at }
}

fn limits(plan: &Plan) -> Vec<(WebhookId, usize)> {
    let mut limits: Vec<_> = plan.claims.iter().map(|claim| (claim.webhook_id, claim.limit)).collect();
    limits.sort_unstable();
    limits
}

#[test]
fn permits_are_shared_one_by_one() {
    let mut lanes = lanes(1_000, &[32, 4, 32]);
    let plan = lanes.plan(at(0));
    assert_eq!(limits(&plan), [(1, 32), (2, 4), (3, 32)]);
    assert!(lanes.plan(at(0)).claims.is_empty(), "what is asked for is asked for once");
}

/// Claims for endless backlogs whose sends never end, until nothing more is given.
fn exhaust(lanes: &mut Lanes, now: Timestamp) {
    loop {
        let plan = lanes.plan(now);
        if plan.claims.is_empty() {
            return;
        }
        answer(lanes, &plan, true);
    }
}

#[test]
fn lanes_that_never_end_leave_room_for_another() {
    let mut lanes = lanes(100, &[1_000, 1_000, 1_000, 1_000]);
    exhaust(&mut lanes, at(0));
    assert_eq!(lanes.in_flight(), 50, "half is for those that hold few");
    let mut all: Vec<_> = (1..=4).map(|id| (settings(id, 1_000), Some(at(0)))).collect();
    all.push((settings(5, 8), Some(at(0))));
    lanes.configure(all, at(0));
    assert_eq!(limits(&lanes.plan(at(0))), [(5, 2)]);
}

#[test]
fn endpoints_that_begin_to_hang_one_after_the_other_leave_a_permit_for_each_that_does_not() {
    let mut lanes = Lanes::new(512, 64 << 20);
    let hanging: Vec<_> = (1..=150).map(|id| (settings(id, 32), Some(at(0)))).collect();
    for many in 1..=hanging.len() {
        lanes.configure(hanging[..many].to_vec(), at(0));
        exhaust(&mut lanes, at(0));
    }
    let healthy = (1_000..1_050).map(|id| (settings(id, 32), Some(at(0))));
    lanes.configure(hanging.into_iter().chain(healthy).collect(), at(0));
    let plan = lanes.plan(at(0));
    let served: Vec<_> = limits(&plan).into_iter().filter(|(id, _)| *id >= 1_000).collect();
    assert_eq!(served.len(), 50, "{served:?}");
}

#[test]
fn retries_of_a_thousand_dead_endpoints_leave_a_quarter_to_first_attempts_of_others() {
    let mut lanes = Lanes::new(512, 64 << 20);
    let dead: Vec<_> = (1..=1_000).map(|id| (settings(id, 32), Some(at(0)))).collect();
    lanes.configure(dead.clone(), at(0));
    // Each has failed, some of them so often that they are only probed.
    for round in 0..6 {
        exhaust(&mut lanes, at(round));
        for (lane, _) in &dead {
            let lane = lanes.get_mut(lane.webhook_id).expect("its lane");
            while lane.in_flight() > 0 {
                lane.ended(&ended(false, EndpointSign::Failed, Some(at(round))), at(round));
            }
        }
    }
    // All are due again at once, and all hang from now on.
    exhaust(&mut lanes, at(60_000));
    assert_eq!(lanes.in_flight(), 384);
    let healthy = (2_000..2_100).map(|id| (settings(id, 32), Some(at(60_000))));
    lanes.configure(dead.into_iter().chain(healthy).collect(), at(60_000));
    let plan = lanes.plan(at(60_000));
    assert_eq!(limits(&plan), (2_000..2_100).map(|id| (id, 1)).collect::<Vec<_>>());
}

#[test]
fn what_one_claim_leaves_over_is_first_in_the_next() {
    let many = vec![1; CLAIM_ROWS + 40];
    let mut lanes = lanes(10_000, &many);
    let first = lanes.plan(at(0));
    assert_eq!(first.claims.len(), CLAIM_ROWS);
    answer(&mut lanes, &first, true);
    let second = lanes.plan(at(0));
    assert_eq!(second.claims.len(), 40);
    assert_eq!(second.claims[0].webhook_id, CLAIM_ROWS as i64 + 1);
}

#[test]
fn what_is_marked_while_a_claim_is_under_way_is_not_forgotten() {
    let mut lanes = lanes(10, &[4]);
    let plan = lanes.plan(at(0));
    lanes.get_mut(1).expect("its lane").mark(at(5));
    // The claim was made before the new delivery came: it tells that nothing waits.
    answer(&mut lanes, &plan, false);
    assert_eq!(limits(&lanes.plan(at(5))), [(1, 4)]);
}

#[test]
fn a_lane_without_work_sleeps_until_its_next_is_due() {
    let mut lanes = Lanes::new(10, 64 << 20);
    lanes.configure(vec![(settings(1, 4), Some(at(700))), (settings(2, 4), None)], at(0));
    let plan = lanes.plan(at(0));
    assert!(plan.claims.is_empty());
    assert_eq!(plan.wake_at, Some(at(700)));
    assert_eq!(limits(&lanes.plan(at(700))), [(1, 4)]);
}

#[test]
fn paused_and_deleted_webhooks_claim_nothing() {
    let mut lanes = lanes(10, &[4, 4]);
    let paused = LaneSettings { state: LaneState::Paused { until: None }, ..settings(1, 4) };
    assert_eq!(lanes.configure(vec![(paused, Some(at(0)))], at(0)), [2]);
    assert!(lanes.plan(at(0)).claims.is_empty());
}

#[test]
fn a_failed_claim_is_made_again_a_little_later() {
    let mut lanes = lanes(10, &[4]);
    lanes.plan(at(0));
    lanes.get_mut(1).expect("its lane").claim_failed(at(0));
    assert_eq!(lanes.in_flight(), 0);
    assert!(lanes.plan(at(0)).claims.is_empty());
    assert_eq!(limits(&lanes.plan(at(1_000))), [(1, 4)]);
}

#[test]
fn an_open_breaker_lets_one_probe_pass_and_resends() {
    let mut lanes = lanes(100, &[32]);
    let plan = lanes.plan(at(0));
    answer(&mut lanes, &plan, true);
    for _ in 0..32 {
        lanes.get_mut(1).expect("its lane").ended(&ended(false, EndpointSign::Failed, None), at(0));
    }
    let plan = lanes.plan(at(1));
    assert_eq!(plan.wake_at, Some(at(30_000)), "the schedule's only entry");
    assert!(plan.claims.is_empty());
    lanes.get_mut(1).expect("its lane").mark(at(2));
    let plan = lanes.plan(at(2));
    assert!(plan.claims[0].resends_only, "a mark may be a resend");
    answer(&mut lanes, &plan, false);
    assert!(lanes.plan(at(3)).claims.is_empty());
    let plan = lanes.plan(at(30_000));
    assert_eq!((limits(&plan), plan.claims[0].resends_only), (vec![(1, 1)], false));
    answer(&mut lanes, &plan, true);
    assert!(lanes.plan(at(30_001)).claims.is_empty(), "one probe at a time");
    lanes.get_mut(1).expect("its lane").ended(&ended(true, EndpointSign::Arrived, None), at(30_002));
    assert_eq!(limits(&lanes.plan(at(30_002))), [(1, 2)], "a ramp");
}

/// Many lanes, claims and ends in an order of chance: the permits hold, and all work ends.
#[test]
fn whatever_happens_the_permits_hold_and_all_work_is_done() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(64), |(
        maxima in prop::collection::vec(1usize..40, 1..12),
        permits in 2usize..60,
        choices in prop::collection::vec((any::<u8>(), any::<bool>()), 200),
    )| {
        let mut lanes = lanes(permits, &maxima);
        let mut left: BTreeMap<WebhookId, usize> = (1..).zip(&maxima).map(|(id, _)| (id, 20)).collect();
        let mut under_way: Vec<WebhookId> = Vec::new();
        let mut choices = choices.into_iter().cycle();
        for step in 0..20_000 {
            let plan = lanes.plan(at(step));
            prop_assert!(lanes.in_flight() <= permits);
            for claim in &plan.claims {
                let waiting = left.get_mut(&claim.webhook_id).expect("counted");
                let got = claim.limit.min(*waiting);
                *waiting -= got;
                let lane = lanes.get_mut(claim.webhook_id).expect("its lane");
                lane.claimed(got, &none_claimed(claim.webhook_id, (*waiting > 0).then_some(at(0))), at(0));
                prop_assert!(lane.in_flight() <= maxima[claim.webhook_id as usize - 1]);
                under_way.extend(std::iter::repeat_n(claim.webhook_id, got));
            }
            if under_way.is_empty() && left.values().all(|count| *count == 0) {
                return Ok(());
            }
            let (which, _) = choices.next().expect("endless");
            if !under_way.is_empty() {
                let id = under_way.swap_remove(usize::from(which) % under_way.len());
                lanes.get_mut(id).expect("its lane").ended(&ended(false, EndpointSign::Arrived, None), at(step));
            }
        }
        prop_assert!(false, "work is left: {left:?}");
    });
}

#[test]
fn a_lane_that_finds_no_room_asks_again_once_there_is_some() {
    let mut lanes = lanes(100, &[8, 8]);
    let refuse = |lanes: &mut Lanes, id, now| {
        let due = LaneClaimed { not_admitted: Some(1 << 20), ..none_claimed(id, Some(at(0))) };
        lanes.get_mut(id).expect("its lane").claimed(0, &due, at(now));
    };
    let mut plan = lanes.plan(at(0));
    assert_eq!(limits(&plan), [(1, 8), (2, 8)]);
    assert!((0..8).all(|_| plan.admission.admit(1, 1 << 20)), "the first one takes 16 MiB");
    lanes.get_mut(1).expect("its lane").claimed(8, &none_claimed(1, Some(at(0))), at(0));
    lanes.hold(1, 63 << 20);
    refuse(&mut lanes, 2, 0);
    assert!(lanes.plan(at(1)).claims.is_empty(), "there is none yet, and nobody asks in vain");
    lanes.hold(1, 32 << 20);
    assert_eq!(limits(&lanes.plan(at(2))), [(2, 8)]);
}
