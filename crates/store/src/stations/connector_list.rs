//! Connectors, of one station or of all.

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::{Value, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::station::Connector;
use vocabulary::id::StationId;

/// Which connectors are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct ConnectorFilter {
    /// One of these, as the charger spells it; none: any.
    pub statuses: Vec<String>,
    /// As the charger spells it.
    pub error_code: Option<String>,
    /// Its station.
    pub station_id: Option<String>,
    /// The place where its station stands.
    pub site: Option<String>,
    /// The customer whose station it is on.
    pub owner_id: Option<String>,
    /// Whether its station has a live connection.
    pub connected: Option<bool>,
}

impl ConnectorFilter {
    /// Adds them to those that there are.
    fn add_to(self, conditions: &mut Conditions) {
        if !self.statuses.is_empty() {
            let places = vec!["?"; self.statuses.len()].join(", ");
            conditions.and(format!("c.status IN ({places})"), self.statuses.into_iter().map(Value::Text));
        }
        conditions.and_if("c.error_code = ?", self.error_code);
        conditions.and_if("c.station_id = ?", self.station_id);
        conditions.and_if("s.site = ?", self.site);
        conditions.and_if("s.owner_id = ?", self.owner_id);
        conditions.and_if("s.connected = ?", self.connected);
    }
}

/// Each connector with the transaction that runs on it: of this owner (the first value), if that is given. It
/// may have started while the station belonged to another one.
fn select(visible_to: Option<String>) -> (String, Conditions) {
    let (owner, values) = match visible_to {
        Some(owner) => ("AND t.owner_id = ?", vec![Value::Text(owner)]),
        None => ("", Vec::new()),
    };
    let select = format!(
        "SELECT c.station_seq, c.connector_id, c.status, c.error_code, c.info, c.vendor_error_code,
                (SELECT max(t.transaction_id) FROM transactions AS t
                 WHERE t.station_id = c.station_id AND t.connector_id = c.connector_id
                   AND t.status = 'active' AND t.orphaned = 0 {owner}),
                c.occurred_at_ms, c.updated_at_ms, c.since_ms, c.station_id, s.site, s.owner_id, s.connected
         FROM connectors AS c JOIN stations AS s ON s.seq = c.station_seq"
    );
    (select, Conditions::behind(values))
}

impl Store {
    /// The connectors that a station has reported, by number. `visible_to` is the owner whose transactions
    /// may be seen; none: all.
    pub async fn connectors(&self, id: StationId, visible_to: Option<String>) -> Result<Vec<Connector>> {
        self.read(move |db| of_station(db, &id, visible_to)).await
    }

    /// One page of the connectors that `filter` wants, in the order in which their stations became known.
    /// `visible_to` is as in [`Store::connectors`].
    pub async fn all_connectors(
        &self,
        filter: ConnectorFilter,
        visible_to: Option<String>,
        slice: Slice,
    ) -> Result<Listed<Connector>> {
        self.read(move |db| {
            let (select, mut conditions) = select(visible_to);
            filter.add_to(&mut conditions);
            page(db, &select, &["c.station_seq", "c.connector_id"], conditions, &slice, read)
        })
        .await
    }
}

/// As [`Store::connectors`], in a read that is under way.
pub(crate) fn of_station(
    db: &Read<'_>,
    id: &StationId,
    visible_to: Option<String>,
) -> Result<Vec<Connector>> {
    let (select, mut conditions) = select(visible_to);
    conditions.and("c.station_id = ?", [Value::Text(id.to_string())]);
    let sql = format!("{select} WHERE {} ORDER BY c.connector_id", conditions.text());
    db.all(&sql, &values_of(&conditions.into_values()), read)
}

fn read(row: &Row<'_>) -> Result<Connector> {
    Ok(Connector {
        connector_id: row.get(1)?,
        status: row.get(2)?,
        error_code: row.get(3)?,
        info: row.get(4)?,
        vendor_error_code: row.get(5)?,
        transaction_id: row.get(6)?,
        occurred_at: row.get(7)?,
        updated_at: row.get(8)?,
        since: row.get(9)?,
        station_id: row.get(10)?,
        site: row.get(11)?,
        owner_id: row.get(12)?,
        connected: row.get(13)?,
    })
}
