//! What time counts as: tables of what was told, and properties of any.

use proptest::prelude::*;

use super::tally::{Reasons, States};
use super::*;

const MINUTE_MS: i64 = 60_000;
const HOUR: i64 = 60;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_unix_ms(minute * MINUTE_MS)
}

fn told(changes: &[(i64, &str)]) -> Vec<Change<Condition>> {
    let condition = |text: &str| {
        let (status, code) = text.split_once(' ').map_or((text, None), |(status, code)| (status, Some(code)));
        Condition::of(status, code)
    };
    changes.iter().map(|(minute, text)| Change { at: at(*minute), to: condition(text) }).collect()
}

fn changes<T: Copy>(changes: &[(i64, T)]) -> Vec<Change<T>> {
    changes.iter().map(|(minute, to)| Change { at: at(*minute), to: *to }).collect()
}

const ONLINE: &[(i64, Presence)] = &[(0, Presence::Connected)];

/// What is known of a connector, in minutes.
#[derive(Clone, Copy)]
struct Case<'a> {
    own: &'a [(i64, &'a str)],
    station: &'a [(i64, &'a str)],
    presence: &'a [(i64, Presence)],
    causes: &'a [(i64, DowntimeCause)],
    years: &'a [i64],
}

const ALWAYS_FREE: Case<'static> =
    Case { own: &[(0, "Available")], station: &[], presence: ONLINE, causes: &[], years: &[] };

impl Case<'_> {
    fn count(&self, rule: UptimeRule, counted_from: i64, since: i64, until: i64) -> Tally {
        let span = Span {
            since: at(since),
            until: at(until),
            counted_from: at(counted_from),
            years: self.years.iter().map(|year| at(*year)).collect(),
        };
        let (own, station) = (told(self.own), told(self.station));
        let (presence, causes) = (changes(self.presence), changes(self.causes));
        uptime(rule, &span, Facts { own: &own, station: &station, presence: &presence, causes: &causes })
    }

    /// Up, down, excluded and unknown in the first `minutes`.
    fn check(&self, rule: UptimeRule, minutes: i64, expected: [u64; 4]) -> Tally {
        let tally = self.count(rule, 0, 0, minutes);
        let Tally { up, down, excluded, unknown, .. } = tally;
        let minute_ms = MINUTE_MS as u64;
        assert_eq!([up, down, excluded, unknown].map(|ms| ms / minute_ms), expected, "{rule}: {tally:?}");
        tally
    }
}

use DowntimeCause::{Inoperative, Operative, PowerLoss};
use Presence::{Connected, Disconnected, Silent};
use UptimeRule::{Cec, Plain, Uk};

#[test]
fn plain_is_down_while_faulted_unavailable_or_out_of_reach() {
    ALWAYS_FREE.check(Plain, 100, [100, 0, 0, 0]);
    let busy = Case {
        own: &[
            (10, "Available"),
            (20, "Charging"),
            (40, "Faulted"),
            (50, "Unavailable"),
            (60, "SuspendedEV"),
        ],
        presence: &[(5, Connected), (70, Silent), (80, Connected), (90, Disconnected)],
        ..ALWAYS_FREE
    };
    let tally = busy.check(Plain, 100, [50, 40, 0, 10]);
    let minute = MINUTE_MS as u64;
    let States { available, charging, occupied, unavailable, faulted, offline } = tally.states;
    let states = [available, charging, occupied, unavailable, faulted, offline];
    assert_eq!(states.map(|ms| ms / minute), [10, 20, 20, 10, 10, 20]);
    let Reasons { faulted, unavailable, offline, .. } = tally.reasons;
    assert_eq!([faulted, unavailable, offline].map(|ms| ms / minute), [10, 10, 20]);
}

#[test]
fn nothing_is_known_before_the_first_status_and_the_first_connection() {
    Case { own: &[], ..ALWAYS_FREE }.check(Plain, 100, [0, 0, 0, 100]);
    Case { presence: &[], ..ALWAYS_FREE }.check(Plain, 100, [0, 0, 0, 100]);
    // A status from a queue, of a time before the station was known.
    Case { presence: &[(30, Connected)], ..ALWAYS_FREE }.check(Plain, 100, [70, 0, 0, 30]);
}

#[test]
fn the_station_as_a_whole_counts_for_each_connector_and_overlaps_count_once() {
    let whole = Case { station: &[(10, "Faulted"), (20, "Unavailable"), (30, "Available")], ..ALWAYS_FREE };
    whole.check(Plain, 100, [80, 20, 0, 0]);
    let both = Case {
        own: &[(0, "Available"), (15, "Unavailable"), (25, "Available")],
        presence: &[(0, Connected), (22, Disconnected), (28, Connected)],
        ..whole
    };
    let tally = both.check(Plain, 100, [80, 20, 0, 0]);
    assert_eq!(
        (tally.reasons.faulted, tally.reasons.unavailable, tally.reasons.offline),
        (600_000, 600_000, 0)
    );
}

#[test]
fn cec_leaves_out_maintenance_that_was_ordered_until_it_is_over() {
    let ordered = Case {
        own: &[(0, "Charging"), (20, "Unavailable"), (50, "Available")],
        causes: &[(10, Inoperative), (50, Operative)],
        ..ALWAYS_FREE
    };
    let tally = ordered.check(Cec, 100, [70, 0, 30, 0]);
    assert_eq!(tally.reasons.maintenance, 1_800_000);
    ordered.check(Plain, 100, [70, 30, 0, 0]);
    ordered.check(Uk, 100, [70, 30, 0, 0]);
    // Out of service without an order is no maintenance.
    Case { causes: &[], ..ordered }.check(Cec, 100, [70, 30, 0, 0]);
    // It has gone back into service by itself; the fault that comes later is none of the work.
    let forgotten = Case {
        own: &[(0, "Available"), (10, "Unavailable"), (30, "Available"), (60, "Faulted")],
        causes: &[(10, Inoperative)],
        ..ALWAYS_FREE
    };
    forgotten.check(Cec, 100, [40, 40, 20, 0]);
    // Its plug is pulled meanwhile, and it is faulted for a while.
    let pulled = Case {
        own: &[(0, "Unavailable"), (60, "Faulted"), (70, "Unavailable"), (90, "Available")],
        presence: &[(0, Connected), (20, Disconnected), (50, Connected)],
        causes: &[(10, Inoperative), (90, Operative)],
        ..ALWAYS_FREE
    };
    pulled.check(Cec, 100, [10, 10, 80, 0]);
}

#[test]
fn cec_leaves_out_no_more_than_three_days_of_maintenance_in_a_year() {
    let long = Case { own: &[(0, "Unavailable")], causes: &[(0, Inoperative)], ..ALWAYS_FREE };
    let hours = |hours: i64| (hours * HOUR) as u64;
    long.check(Cec, 100 * HOUR, [0, hours(28), hours(72), 0]);
    // What was used before the span in its year is used; another year has its own.
    let tally = long.count(Cec, 0, 60 * HOUR, 100 * HOUR);
    assert_eq!((tally.excluded, tally.down), (12 * 3_600_000, 28 * 3_600_000));
    let new_year = Case { years: &[80 * HOUR], ..long };
    let tally = new_year.count(Cec, 0, 60 * HOUR, 100 * HOUR);
    assert_eq!((tally.excluded, tally.down), (32 * 3_600_000, 8 * 3_600_000));
}

#[test]
fn cec_leaves_out_faults_of_vehicles_and_of_the_supply() {
    let faulted = |code: &'static str| {
        let own = [(0, "Available"), (10, code), (30, "Available")];
        Case { own: &own, ..ALWAYS_FREE }.count(Cec, 0, 0, 100)
    };
    assert_eq!(faulted("Faulted EVCommunicationError").reasons.vehicle_fault, 1_200_000);
    assert_eq!(faulted("Faulted UnderVoltage").reasons.power_outage, 1_200_000);
    assert_eq!(faulted("Faulted GroundFailure").reasons.faulted, 1_200_000);
    assert_eq!(faulted("Faulted EVCommunicationError").excluded, 1_200_000);
    // A code that comes with a status in which it serves changes nothing.
    assert_eq!(faulted("Charging EVCommunicationError").up, 6_000_000);
    let own = &[(0, "Available"), (10, "Faulted EVCommunicationError"), (30, "Available")];
    Case { own, ..ALWAYS_FREE }.check(Uk, 100, [80, 20, 0, 0]);
}

#[test]
fn an_absence_that_a_loss_of_power_explains_is_left_out() {
    let twice = &[(0, Connected), (10, Disconnected), (30, Connected), (50, Disconnected), (60, Connected)];
    let away = Case { presence: twice, ..ALWAYS_FREE };
    away.check(Cec, 100, [70, 30, 0, 0]);
    // When it began, before it was noticed, or only when the station was back: one absence each.
    for (lost, excluded) in [(9, 20), (10, 20), (20, 20), (35, 20), (48, 10), (55, 10), (70, 10), (80, 0)] {
        let explained = Case { causes: &[(lost, PowerLoss)], ..away };
        explained.check(Cec, 100, [70, 30 - excluded, excluded, 0]);
        assert_eq!(explained.check(Uk, 100, [70, 0, 30, 0]).reasons.power_outage, excluded * 60_000);
        explained.check(Plain, 100, [70, 30, 0, 0]);
    }
}

#[test]
fn uk_leaves_out_time_without_contact_but_not_what_was_out_of_order_before() {
    let away = Case { presence: &[(0, Connected), (10, Silent)], ..ALWAYS_FREE };
    let tally = away.check(Uk, 100, [10, 0, 90, 0]);
    assert_eq!(tally.reasons.offline, tally.excluded);
    Case { own: &[(0, "Faulted")], ..away }.check(Uk, 100, [0, 100, 0, 0]);
}

fn any_condition() -> impl Strategy<Value = Condition> {
    const STATUSES: &[&str] = &["Available", "Charging", "Finishing", "Unavailable", "Faulted", "Idle"];
    const CODES: &[Option<&str>] =
        &[None, Some("EVCommunicationError"), Some("UnderVoltage"), Some("OtherError")];
    (prop::sample::select(STATUSES), prop::sample::select(CODES))
        .prop_map(|(status, code)| Condition::of(status, code))
}

/// In the order of time, with several of one moment.
fn any_changes<T: std::fmt::Debug + Clone>(
    values: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<Change<T>>> {
    prop::collection::vec((-40..400i64, values), 0..12).prop_map(|found| {
        let mut changes: Vec<_> =
            found.into_iter().map(|(hour, to)| Change { at: at(hour * 60), to }).collect();
        changes.sort_by_key(|change| change.at);
        changes
    })
}

type AnyFacts =
    (Vec<Change<Condition>>, Vec<Change<Condition>>, Vec<Change<Presence>>, Vec<Change<DowntimeCause>>);

fn any_facts() -> impl Strategy<Value = AnyFacts> {
    (
        any_changes(any_condition()),
        any_changes(any_condition()),
        any_changes(prop::sample::select(Presence::ALL)),
        any_changes(prop::sample::select(DowntimeCause::ALL)),
    )
}

fn counted(rule: UptimeRule, span: &Span, (own, station, presence, causes): &AnyFacts) -> Tally {
    uptime(rule, span, Facts { own, station, presence, causes })
}

/// Only the last change of each moment.
fn last_of_each<T: Copy>(changes: &[Change<T>]) -> Vec<Change<T>> {
    let mut last: Vec<Change<T>> = Vec::new();
    for change in changes {
        if last.last().is_some_and(|known| known.at == change.at) {
            last.pop();
        }
        last.push(*change);
    }
    last
}

#[test]
fn statuses_count_the_same_in_whatever_order_they_are_read() {
    let in_order = Case {
        own: &[(0, "Available"), (10, "Charging"), (40, "Faulted GroundFailure"), (50, "Available")],
        station: &[(5, "Available"), (60, "Unavailable"), (70, "Available")],
        ..ALWAYS_FREE
    };
    let (mut own, mut station) = (in_order.own.to_vec(), in_order.station.to_vec());
    own.reverse();
    station.rotate_left(1);
    let mixed = Case { own: &own, station: &station, ..in_order };
    let tally = in_order.check(Plain, 100, [80, 20, 0, 0]);
    assert_eq!(mixed.count(Plain, 0, 0, 100), tally);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn minutes_add_up_to_the_span_whatever_was_told(
        facts in any_facts(), since in 0..300i64, length in 0..300i64, year in 0..400i64,
    ) {
        let (since, until) = (at(since * 60), at((since + length) * 60));
        let total = until.since(since).as_millis() as u64;
        for rule in UptimeRule::ALL {
            let span = Span { since, until, counted_from: at(0), years: vec![at(year * 60)] };
            let tally = counted(*rule, &span, &facts);
            let Tally { down, excluded, unknown, reasons, states, .. } = tally;
            prop_assert_eq!(tally.total(), total);
            let Reasons { faulted, unavailable, offline, maintenance, vehicle_fault, power_outage } = reasons;
            let because = faulted + unavailable + offline + maintenance + vehicle_fault + power_outage;
            prop_assert_eq!(because, down + excluded);
            let States { available, charging, occupied, unavailable, faulted, offline } = states;
            let known = available + charging + occupied + unavailable + faulted + offline;
            prop_assert_eq!(known + unknown, total);
            // No rule makes up what was down.
            let plain = counted(Plain, &span, &facts);
            prop_assert_eq!((plain.up, plain.down, plain.states), (tally.up, down + excluded, states));
        }
    }

    #[test]
    fn a_span_counts_as_its_parts_do(facts in any_facts(), cut in 1..299i64) {
        for rule in UptimeRule::ALL {
            let span = |since: i64, until: i64| Span {
                since: at(since * 60), until: at(until * 60), counted_from: at(0), years: Vec::new(),
            };
            // A loss of power before the cut may explain an absence behind it, so none here.
            let mut facts = facts.clone();
            facts.3.retain(|cause| cause.to != PowerLoss);
            let mut parts = counted(*rule, &span(0, cut), &facts);
            parts += counted(*rule, &span(cut, 300), &facts);
            prop_assert_eq!(parts, counted(*rule, &span(0, 300), &facts));
        }
    }

    #[test]
    fn a_count_goes_on_where_it_was_kept(facts in any_facts(), cuts in prop::collection::vec(0..300i64, 1..4)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        // Which absence a loss of power explains is known only behind it: such counts are not kept.
        let mut facts = facts;
        facts.3.retain(|cause| cause.to != PowerLoss);
        for rule in UptimeRule::ALL {
            let span = |until: i64| Span {
                since: at(60 * 60), until: at(until * 60), counted_from: at(0), years: vec![at(200 * 60)],
            };
            let (mut counted, mut reached) = (Counted::begin(&span(300)), None);
            for until in cuts.iter().copied().chain([300]) {
                let after = |at: Timestamp| reached.is_none_or(|reached| at >= reached);
                let (own, station) = (facts.0.iter().filter(|one| after(one.at)), facts.1.iter().filter(|one| after(one.at)));
                let (own, station): (Vec<_>, Vec<_>) = (own.copied().collect(), station.copied().collect());
                let presence: Vec<_> = facts.2.iter().filter(|one| after(one.at)).copied().collect();
                let causes: Vec<_> = facts.3.iter().filter(|one| after(one.at)).copied().collect();
                let given = Facts { own: &own, station: &station, presence: &presence, causes: &causes };
                // Half way between what was reached and the end.
                let keep = Timestamp::from_unix_ms((reached.unwrap_or(at(0)).unix_ms() + at(until * 60).unix_ms()) / 2);
                let (tally, kept) = counted.go_on(*rule, &span(until), given, Some(keep));
                prop_assert_eq!(tally, self::counted(*rule, &span(until), &facts), "{} until {}", rule, until);
                if let Some(kept) = kept {
                    (counted, reached) = (kept, Some(keep));
                }
            }
        }
    }

    #[test]
    fn of_one_moment_the_last_change_counts(facts in any_facts()) {
        let span = Span { since: at(0), until: at(300 * 60), counted_from: at(0), years: Vec::new() };
        let (own, station, presence, causes) = &facts;
        let last = (own.clone(), last_of_each(station), last_of_each(presence), causes.clone());
        for rule in [Plain, Uk] {
            prop_assert_eq!(counted(rule, &span, &facts), counted(rule, &span, &last));
        }
        let last = (last_of_each(own), station.clone(), presence.clone(), causes.clone());
        for rule in [Plain, Uk] {
            prop_assert_eq!(counted(rule, &span, &facts), counted(rule, &span, &last));
        }
    }
}
