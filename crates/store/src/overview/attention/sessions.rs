//! Sessions that need a look.

use std::cmp::Reverse;

use super::entry::{Said, few, few_or_all};
use super::wording::{count, more, span};
use crate::overview::facts::{DoubtfulSession, Facts, OpenSession};
use vocabulary::api::overview::{Attention, Kind, Severity, SubjectKind};
use vocabulary::api::transaction::EnergyQuality;
use vocabulary::clock::Timestamp;

pub(super) fn entries(facts: &Facts) -> Vec<Attention> {
    let mut all = Vec::new();
    for (quality, doubt) in [(EnergyQuality::Implausible, IMPLAUSIBLE), (EnergyQuality::Missing, MISSING)] {
        let found: Vec<&DoubtfulSession> =
            facts.sessions.doubtful.iter().filter(|session| session.quality == quality).collect();
        all.extend(few_or_all(&found, |session| doubt.one(session), |all| doubt.all(all)));
    }
    for (sessions, open) in [(&facts.sessions.orphaned, ORPHANED), (&facts.sessions.long, LONG)] {
        let mut sessions: Vec<&OpenSession> = sessions.iter().collect();
        sessions.sort_by_key(|session| Reverse(session.started_at));
        all.extend(few(&sessions, |session| open.one(session, facts.now), |rest| open.others(rest)));
    }
    all
}

/// What is said of sessions whose energy cannot be relied on.
struct Doubt {
    severity: Severity,
    kind: Kind,
    has: &'static str,
    cause: &'static str,
}

const IMPLAUSIBLE: Doubt = Doubt {
    severity: Severity::Warn,
    kind: Kind::EnergyImplausible,
    has: "an implausible energy",
    cause: "The readings contradict each other, the register or the time, so check before it is billed.",
};

const MISSING: Doubt = Doubt {
    severity: Severity::Info,
    kind: Kind::EnergyMissing,
    has: "no energy",
    cause: "The charger has sent no reading that would tell how much was charged.",
};

impl Doubt {
    fn said(&self, since: Option<Timestamp>, text: String) -> Said {
        Said { severity: self.severity, kind: self.kind, since, text, cause: self.cause.to_owned() }
    }

    fn one(&self, session: &DoubtfulSession) -> Attention {
        let id = session.transaction_id.to_string();
        let text = format!("Session {id} on {} has {}", session.station_id, self.has);
        self.said(Some(session.completed_at), text).of(SubjectKind::Transaction, id)
    }

    fn all(&self, all: &[&DoubtfulSession]) -> Attention {
        let text = format!("{} of the last seven days have {}", count(all.len() as u64, "session"), self.has);
        let newest = all.iter().map(|session| session.completed_at).max();
        let ids = all.iter().map(|session| session.transaction_id.to_string());
        self.said(newest, text).of_all(SubjectKind::Transaction, ids)
    }
}

/// What is said of sessions that have not ended.
struct Open {
    kind: Kind,
    /// What one does, and what others do.
    does: (&'static str, &'static str),
    cause: &'static str,
}

const ORPHANED: Open = Open {
    kind: Kind::SessionOrphaned,
    does: ("was never stopped", "were never stopped"),
    cause: "Another session has begun on its connector and its own stop has not come: the charger may have \
            lost it. Close it by hand if it does not come.",
};

const LONG: Open = Open {
    kind: Kind::SessionLong,
    does: ("has been active", "have been active for days"),
    cause: "No stop has come: the car may still be plugged in, or the charger has lost the stop.",
};

impl Open {
    fn said(&self, since: Option<Timestamp>, text: String) -> Said {
        Said { severity: Severity::Warn, kind: self.kind, since, text, cause: self.cause.to_owned() }
    }

    fn one(&self, session: &OpenSession, now: Timestamp) -> Attention {
        let id = session.transaction_id.to_string();
        let mut text = format!("Session {id} on {} {}", session.station_id, self.does.0);
        if self.kind == Kind::SessionLong {
            text.push_str(&format!(" for {}", span(now.since(session.started_at))));
        }
        self.said(Some(session.started_at), text).of(SubjectKind::Transaction, id)
    }

    fn others(&self, rest: &[&OpenSession]) -> Attention {
        let text = format!("{} {}", more(rest.len() as u64, "session"), self.does.1);
        let oldest = rest.iter().map(|session| session.started_at).min();
        let ids = rest.iter().map(|session| session.transaction_id.to_string());
        self.said(oldest, text).of_all(SubjectKind::Transaction, ids)
    }
}
