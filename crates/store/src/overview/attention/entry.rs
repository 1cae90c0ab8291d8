//! Entries of the list: about one thing, or about many of the same kind.

use vocabulary::api::overview::{Attention, Kind, Severity, Subject, SubjectKind};
use vocabulary::clock::Timestamp;

/// So many of a kind are told one by one.
const EACH_MAX: usize = 5;

/// Things that an entry names.
const IDS_MAX: usize = 20;

/// What an entry says, whatever it is about.
pub(super) struct Said {
    pub(super) severity: Severity,
    pub(super) kind: Kind,
    pub(super) since: Option<Timestamp>,
    pub(super) text: String,
    pub(super) cause: String,
}

impl Said {
    /// About one thing.
    pub(super) fn of(self, kind: SubjectKind, id: impl Into<String>) -> Attention {
        let id = id.into();
        self.about(Subject { kind, id: Some(id.clone()) }, 1, vec![id])
    }

    /// About the gateway itself.
    pub(super) fn of_gateway(self) -> Attention {
        self.of_unnamed(SubjectKind::Gateway)
    }

    /// About something of a kind that has no id.
    pub(super) fn of_unnamed(self, kind: SubjectKind) -> Attention {
        self.about(Subject { kind, id: None }, 1, Vec::new())
    }

    /// About several things of a kind.
    pub(super) fn of_all(self, kind: SubjectKind, ids: impl ExactSizeIterator<Item = String>) -> Attention {
        self.of_several(Subject { kind, id: None }, ids)
    }

    /// About several things that are one's, such as the stations of a site.
    pub(super) fn of_several(
        self,
        subject: Subject,
        ids: impl ExactSizeIterator<Item = String>,
    ) -> Attention {
        let count = ids.len() as u64;
        self.about(subject, count, ids.take(IDS_MAX).collect())
    }

    fn about(self, subject: Subject, count: u64, ids: Vec<String>) -> Attention {
        let Self { severity, kind, since, text, cause } = self;
        Attention { severity, kind, since, text, cause, subject, count, ids }
    }
}

/// Each of a few; of many the first ones, and one entry for all others.
pub(super) fn few<T>(
    all: &[T],
    one: impl Fn(&T) -> Attention,
    others: impl Fn(&[T]) -> Attention,
) -> Vec<Attention> {
    if all.len() <= EACH_MAX {
        return all.iter().map(one).collect();
    }
    let (first, rest) = all.split_at(EACH_MAX - 1);
    first.iter().map(one).chain([others(rest)]).collect()
}

/// Each of very few, otherwise one entry for all of them: for what is seldom seen to one by one.
pub(super) fn few_or_all<T>(
    all: &[T],
    one: impl Fn(&T) -> Attention,
    every: impl Fn(&[T]) -> Attention,
) -> Vec<Attention> {
    if all.len() <= EACH_MAX / 2 { all.iter().map(one).collect() } else { vec![every(all)] }
}
