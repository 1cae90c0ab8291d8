//! Replays and bulk resends. They run in small steps, so that nobody waits for them; a crash between two
//! steps neither loses nor duplicates a delivery.

mod bulk_resend;
mod cancel;
mod making;
mod search;
mod step;

pub use bulk_resend::ResendWalk;
pub use cancel::CanceledReplay;
pub use making::ReplayStep;

use crate::engine::row::Row;
use crate::engine::sql::{params, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use crate::{Priority, Scope, Store};
use search::Search;
use vocabulary::api::command::RequestedBy;
use vocabulary::api::replay::{Replay, ReplayStatus, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::id::{ReplayId, WebhookId};

/// The requested deliveries, counted.
#[derive(Debug, Clone)]
pub struct CountedReplay {
    search: Search,
    start: i64,
    /// The number of candidates.
    pub matched: u64,
}

/// Which replays are listed. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct ReplayFilter {
    /// Replays for this webhook.
    pub webhook_id: Option<WebhookId>,
    /// Replays that this owner can see.
    pub owner_id: Option<String>,
    /// Replays with this status.
    pub status: Option<ReplayStatus>,
    /// Requested at or after this.
    pub since: Option<Timestamp>,
    /// Requested before this.
    pub until: Option<Timestamp>,
}

const SELECT: &str = "SELECT r.seq, r.id, r.status, r.matched, r.done, r.selection, r.requested_by_id,
    r.requested_by_name, r.created_at_ms, r.completed_at_ms FROM replays r";

impl Store {
    /// Counts the candidates of `selection` as of now. `visible_to` is the owner of the key that asks for
    /// deliveries by filter.
    pub async fn count_replay(
        &self,
        selection: Selection,
        visible_to: Option<String>,
        requested_at: Timestamp,
    ) -> Result<CountedReplay> {
        let of = selection.clone();
        let (start, end) = self.read(move |db| search::range(db, &of)).await?;
        let search = Search { selection, visible_to, requested_at, end };
        let (mut position, mut matched) = (start, 0);
        while position < end {
            let search = search.clone();
            let found = self.read(move |db| search::next(db, &search, position, usize::MAX >> 1)).await?;
            matched += found.candidates.len() as u64;
            position = found.position;
        }
        Ok(CountedReplay { search, start, matched })
    }

    /// Creates the replay of counted candidates; its steps follow ([`Store::replay_step`]). `owner_id` can
    /// see it.
    pub async fn create_replay(
        &self,
        counted: CountedReplay,
        owner_id: Option<String>,
        requested_by: RequestedBy,
    ) -> Result<Replay> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let CountedReplay { search, start, matched } = counted;
            let webhook_id = match &search.selection {
                Selection::Replay { webhook_id, .. } => Some(*webhook_id),
                Selection::Resend { webhook_id, .. } => *webhook_id,
            };
            let id = ReplayId::from_value(w.mint.next(w.now));
            let status = if matched > 0 { ReplayStatus::Running } else { ReplayStatus::Done };
            w.run(
                "INSERT INTO replays (id, owner_id, webhook_id, selection, status, matched, position,
                     end_position, requested_by_id, requested_by_name, requested_at_ms, created_at_ms,
                     completed_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                params![
                    id,
                    owner_id,
                    webhook_id,
                    serde_json::to_string(&search.selection)?,
                    status.as_str(),
                    matched,
                    start,
                    search.end,
                    requested_by.id,
                    requested_by.name,
                    search.requested_at,
                    w.now,
                    (status == ReplayStatus::Done).then_some(w.now),
                ],
            )?;
            w.after_commit.replays = true;
            shown(w, id)
        })
        .await
    }

    /// A replay, if it exists and `visible_to` may see it.
    pub async fn replay(&self, id: ReplayId, visible_to: Option<String>) -> Result<Option<Replay>> {
        self.read(move |db| match row_of(db, id, visible_to)? {
            Some(_) => shown(db, id).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// One page of the replays.
    pub async fn replays(&self, filter: ReplayFilter, slice: Slice) -> Result<Listed<Replay>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("r.webhook_id = ?", filter.webhook_id);
            conditions.and_if("r.owner_id = ?", filter.owner_id);
            conditions.and_if("r.status = ?", filter.status.map(ReplayStatus::as_str));
            let spell = |least| ReplayId::from_value(least).to_string();
            conditions.and_arrived(("replays", "r", "created_at_ms"), filter.since, filter.until, spell);
            page(db, SELECT, &["r.seq"], conditions, &slice, read)
        })
        .await
    }

    /// The rows of the running replays, the oldest first, and of canceled ones that still take deliveries
    /// back.
    pub async fn running_replays(&self) -> Result<Vec<i64>> {
        let sql = "SELECT seq FROM replays WHERE status = 'running'
            UNION ALL SELECT seq FROM replays WHERE takes_back = 1 ORDER BY seq";
        self.read(move |db| db.all(sql, &[], |row| row.get(0))).await
    }

    /// Waits until a replay is created. For one waiter only.
    pub async fn replays_begun(&self) {
        self.inner.signals.replays_begun().await;
    }
}

/// The row of a replay that `visible_to` may see.
fn row_of(db: &Read<'_>, id: ReplayId, visible_to: Option<String>) -> Result<Option<i64>> {
    let mut conditions = Conditions::default();
    conditions.and("id = ?", [id.into()]);
    conditions.and_if("owner_id = ?", visible_to);
    let sql = format!("SELECT seq FROM replays WHERE {}", conditions.text());
    db.maybe(&sql, &values_of(&conditions.into_values()), |row| row.get(0))
}

fn shown(db: &Read<'_>, id: ReplayId) -> Result<Replay> {
    db.one(&format!("{SELECT} WHERE r.id = ?1"), params![id], read)
}

fn read(row: &Row<'_>) -> Result<Replay> {
    Ok(Replay {
        id: row.get(1)?,
        status: row.parsed(2)?,
        matched: row.get(3)?,
        done: row.get::<i64>(4)?.max(0) as u64,
        selection: row.json(5)?,
        requested_by: RequestedBy { id: row.get(6)?, name: row.get(7)? },
        created_at: row.get(8)?,
        completed_at: row.get(9)?,
    })
}
