//! The rules: each looks at facts and answers if it applies; the first answer counts. No store, no clock, no
//! chance.
//!
//! **Invariant**: the order says what matters more. What keeps a station or a session from working at all
//! comes first, ordinary ends last, and the last rule of each list always answers.

mod admission;
mod all_well;
mod boot;
mod commands;
mod delivery;
mod energy;
mod equipment;
mod firmware;
mod lost_stop;
mod presence;
mod remote_start;
mod replies;
mod stops;
mod suspended;
mod tags;
#[cfg(test)]
mod tests;

pub(super) use delivery::delivery;

use super::answer::Answer;
use super::facts::{CommandFacts, SessionFacts, StationFacts, TagFacts};
use vocabulary::api::why::Why;

/// A rule; `None`: it does not apply.
type Rule<F> = fn(&F) -> Option<Answer>;

fn first<F>(rules: &[Rule<F>], facts: &F, otherwise: fn(&F) -> Answer) -> Why {
    rules.iter().find_map(|rule| rule(facts)).unwrap_or_else(|| otherwise(facts)).into_why()
}

/// Why a station is as it is.
pub(crate) fn station(facts: &StationFacts) -> Why {
    const RULES: &[Rule<StationFacts>] = &[
        admission::blocked,
        admission::refused,
        presence::flapping,
        admission::no_tls,
        presence::never_connected,
        presence::offline,
        boot::rejected,
        boot::pending,
        boot::not_booted,
        boot::boot_loop,
        equipment::faulted,
        replies::not_answering,
        boot::clock_wrong,
        firmware::stuck,
        equipment::unavailable,
        remote_start::of_station,
        tags::refused_lately,
        suspended::of_station,
    ];
    first(RULES, facts, all_well::station)
}

/// Why a session is as it is, or ended as it did.
pub(crate) fn session(facts: &SessionFacts) -> Why {
    const RULES: &[Rule<SessionFacts>] = &[
        tags::refused_at_start,
        lost_stop::orphaned,
        lost_stop::never_stopped,
        presence::session_offline,
        equipment::session_faulted,
        suspended::of_session,
        energy::implausible,
        energy::not_metered,
        stops::problems,
        suspended::without_energy,
        stops::ordinary,
    ];
    first(RULES, facts, all_well::session)
}

/// Why a command came to what it did.
pub(crate) fn command(facts: &CommandFacts) -> Why {
    const RULES: &[Rule<CommandFacts>] = &[
        commands::waiting,
        commands::canceled,
        commands::expired,
        commands::connection_lost,
        commands::timeout,
        commands::charger_said_no,
        remote_start::session_refused,
        remote_start::of_command,
        firmware::of_command,
        firmware::upload_of_command,
    ];
    first(RULES, facts, all_well::command)
}

/// Why a tag is let in, or not.
pub(crate) fn tag(facts: &TagFacts) -> Why {
    const RULES: &[Rule<TagFacts>] = &[
        tags::blocked,
        tags::expired,
        tags::invalid,
        tags::concurrent,
        tags::refused_elsewhere,
        tags::other_owner,
        tags::unknown,
    ];
    first(RULES, facts, all_well::tag)
}
