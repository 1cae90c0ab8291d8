//! The start of the engine: the server is looked at, the schema brought up to date, and the head taken once.

use std::sync::Arc;

use crate::engine::membership::Membership;
use crate::engine::postgres::address::Address;
use crate::engine::postgres::driver::{self, Connection};
use crate::engine::shared::Shared;
use crate::engine::shared::head::{Compile, Head};
use crate::engine::shared::schema;
use crate::engine::shared::writer::{Join, WriterState, session_name};
use crate::engine::sql::{WALL_OFFSET_MS, params};
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::Vault;
use crate::signals::Signals;
use vocabulary::clock::{Clock, Monotonic, Timestamp};
use vocabulary::subscription::SubscriptionSet;

/// The oldest server that is good enough, as `server_version_num` tells it.
const OLDEST_SERVER: i64 = 150_000;

/// A database that is open, at today's schema, while this node writes nothing yet.
pub(crate) struct Opening {
    reading: Address,
    state: WriterState,
}

impl Opening {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Away`]; [`StoreError::Failed`] if the server refuses us, is too old, or does not keep
    /// what it has committed; [`StoreError::NewerSchema`].
    pub(crate) fn open(
        address: &Address,
        clock: Clock,
        compile: Compile,
        (membership, join): (Arc<Membership>, Join),
    ) -> Result<Self> {
        let writing = address.for_sessions("chargehook");
        let conn = Connection::open(&writing)?;
        check_server(&conn)?;
        schema::migrate(&conn, address.schema())?;
        let reading = writing.for_reading();
        let monotonic = monotonic(&conn, &clock)?;
        let mut state = WriterState {
            address: writing,
            conn: Some(conn),
            clock,
            monotonic,
            head: Head::unknown(compile),
            subscriptions: SubscriptionSet::default(),
            signals: Arc::new(Signals::new(crate::LogPosition::START)),
            statistics: Arc::default(),
            vault: Vault::locked(),
            membership,
            join,
        };
        state.transact(|_| Ok(()))?;
        state.signals = Arc::new(Signals::new(state.head.newest_event));
        Ok(Self { reading, state })
    }

    /// What stands in it.
    pub(crate) fn read<T>(&self, query: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        match &self.state.conn {
            Some(conn) => query(&Read::of_shared(conn)),
            None => Err(StoreError::Away("the connection broke".to_owned())),
        }
    }

    /// Seals and opens with this vault from now on.
    pub(crate) fn unlock(&mut self, vault: Vault) {
        self.state.vault = vault;
    }

    /// Does `work` in a transaction of its own.
    pub(crate) fn write(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<()>) -> Result<()> {
        self.state.transact(work).map(drop)
    }

    /// Makes this process a node. Sessions of an older one of its name are ended first: it may hang, and hold
    /// the head.
    pub(crate) fn be_node(&mut self) -> Result<()> {
        let identity = self.state.membership.identity();
        let older = "SELECT epoch FROM nodes WHERE name = ?1 AND ocpp_addr IS NOT DISTINCT FROM ?2
                         AND api_addr IS NOT DISTINCT FROM ?3 AND status <> 'lost'";
        let older: Vec<i64> = self.read(|db| {
            db.all(older, params![identity.name, identity.ocpp_addr, identity.api_addr], |row| row.get(0))
        })?;
        for epoch in older {
            self.read(|db| end_sessions(db, self.reading.schema(), epoch))?;
        }
        self.state.be_node()
    }

    pub(crate) fn monotonic(&self) -> Monotonic {
        self.state.monotonic.clone()
    }

    pub(crate) fn membership(&self) -> Arc<Membership> {
        self.state.membership.clone()
    }

    pub(crate) fn signals(&self) -> Arc<Signals> {
        self.state.signals.clone()
    }

    /// Begins to write, and to read.
    pub(crate) fn start(self) -> Result<Shared> {
        Shared::start(self.reading, self.state)
    }
}

fn check_server(conn: &Connection) -> Result<()> {
    let sql =
        "SELECT CAST(current_setting('server_version_num') AS BIGINT), current_setting('server_version'),
                      current_setting('synchronous_commit')";
    let (number, version, commit): (i64, String, String) = driver::one(conn, sql, &[], |row| {
        Ok((driver::get(row, 0)?, driver::get(row, 1)?, driver::get(row, 2)?))
    })?;
    if number < OLDEST_SERVER {
        return Err(StoreError::Failed(format!("PostgreSQL {version} is too old: 15 or newer is needed")));
    }
    if commit == "off" {
        return Err(StoreError::Failed(
            "synchronous_commit is off: PostgreSQL would forget what it has committed. Set it to on for this user or \
             database (ALTER ROLE … SET synchronous_commit = on)"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The hand that waits go by. It is the database's clock, so that all nodes have the same one; tests that
/// move their clock move it too.
fn monotonic(conn: &Connection, clock: &Clock) -> Result<Monotonic> {
    let newest = "(SELECT scheduled_at_ms FROM deliveries ORDER BY seq DESC LIMIT 1)";
    let sql = format!(
        "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT), coalesce({newest}, 0), {WALL_OFFSET_MS}"
    );
    let (theirs, reached, offset_ms): (Timestamp, Timestamp, i64) = driver::one(conn, &sql, &[], |row| {
        Ok((driver::get(row, 0)?, driver::get(row, 1)?, driver::get(row, 2)?))
    })?;
    let ours = clock.now();
    let offset_ms = match clock {
        Clock::System => ours.unix_ms() - theirs.unix_ms(),
        Clock::Manual(_) => offset_ms,
    };
    Ok(Monotonic::resume(clock.clone(), offset_ms, reached))
}

/// Ends the sessions that a node writes with: what they had open is rolled back.
pub(crate) fn end_sessions(db: &Read<'_>, schema: &str, epoch: i64) -> Result<()> {
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = ?1 AND datname = current_database() AND pid <> pg_backend_pid()";
    db.all(sql, params![session_name(schema, epoch)], |_| Ok(())).map(drop)
}
