//! Which absences of a station were for want of power: those around a session's end that was for it.

use std::time::Duration;

use super::Change;
use vocabulary::clock::Timestamp;
use vocabulary::history::{DowntimeCause, Presence};

/// How much later than the loss of power the absence of a station may be noticed.
pub(crate) const NOTICED_AFTER: Duration = Duration::from_secs(20 * 60);

/// How much later than the end of the absence a station may date the loss of power that it tells of.
const DATED_AFTER: Duration = Duration::from_secs(15 * 60);

/// Whether a station could be reached, and what is known of why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Online,
    Offline,
    /// It was away, and has told that it had no power.
    WithoutPower,
}

/// One absence.
struct Absence {
    from: Timestamp,
    to: Timestamp,
}

impl Absence {
    /// How far a loss of power lies from it; `None`: too far to be its cause.
    fn distance(&self, lost_at: Timestamp) -> Option<Duration> {
        if lost_at < self.from {
            let early = self.from.since(lost_at);
            return (early <= NOTICED_AFTER).then_some(early);
        }
        let late = lost_at.since(self.to);
        (late <= DATED_AFTER).then_some(late)
    }
}

/// The changes of a station's presence, with the nearest absence of each loss of power marked.
pub(super) fn links(
    presence: &[Change<Presence>],
    causes: &[Change<DowntimeCause>],
    until: Timestamp,
) -> Vec<Change<Link>> {
    let mut links: Vec<Change<Link>> = presence
        .iter()
        .map(|change| Change {
            at: change.at,
            to: if change.to.is_online() { Link::Online } else { Link::Offline },
        })
        .collect();
    // Of one moment the last change counts.
    let is_last = |index: usize| links.get(index + 1).is_none_or(|next| next.at != links[index].at);
    let absences: Vec<(usize, Absence)> = (0..links.len())
        .filter(|index| links[*index].to == Link::Offline && is_last(*index))
        .map(|index| {
            let to = links.get(index + 1).map_or(until, |next| next.at);
            (index, Absence { from: links[index].at, to })
        })
        .collect();
    for lost in causes.iter().filter(|cause| cause.to == DowntimeCause::PowerLoss) {
        let near = absences.iter().filter_map(|(index, absence)| Some((absence.distance(lost.at)?, *index)));
        if let Some((_, index)) = near.min() {
            links[index].to = Link::WithoutPower;
        }
    }
    links
}
