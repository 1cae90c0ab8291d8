//! Uptime of a large installation over months.

use rusqlite::{Connection, params};
use tokio::task::block_in_place;
use vocabulary::clock::Clock;

use super::fleet::{self, Sizes};
use super::{slack, summary, tell, turn};

const CASE: &str = "uptime of 5,000 stations";

/// Without a past of events.
const STATIONS: Sizes = Sizes { events: 5_000, webhooks: 1, stations: 5_000 };

const DAY_MS: i64 = 86_400_000;

/// Changes of each connector in a day, and of the few bad ones: one of each hundred stations.
const CHANGES_A_DAY: i64 = 12;
const BAD_CHANGES_A_DAY: i64 = 50;

/// Puts so many days into the history of all connectors.
pub(super) fn fill(database: &std::path::Path, days: i64) -> rusqlite::Result<()> {
    let conn = Connection::open(database)?;
    let now_ms = Clock::System.now().unix_ms();
    conn.execute_batch("BEGIN; DELETE FROM connector_history; DELETE FROM presence_history;")?;
    conn.execute(
        "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?3 * ?4)
         INSERT INTO connector_history (station_id, connector_id, at_ms, status, error_code)
         SELECT c.station_id, c.connector_id, ?1 - ?2 * ?3 + n * (?2 / daily),
                CASE n % 4 WHEN 0 THEN 'Available' WHEN 1 THEN 'Preparing' WHEN 2 THEN 'Charging'
                    ELSE iif(bad, 'Faulted', 'Finishing') END,
                CASE WHEN n % 4 = 3 AND bad THEN 'GroundFailure' END
         FROM (SELECT station_id, connector_id, bad, iif(bad, ?4, ?5) AS daily FROM
                  (SELECT station_id, connector_id, station_id LIKE '%00' AS bad FROM connectors)) c, n
         WHERE n < ?3 * daily ORDER BY 1, 2, 3",
        params![now_ms, DAY_MS, days, BAD_CHANGES_A_DAY, CHANGES_A_DAY],
    )?;
    conn.execute(
        "WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < ?3 * 50)
         INSERT INTO presence_history (station_id, at_ms, presence)
         SELECT station_id, ?1 - ?2 * ?3 + n * (?2 / 50), iif(n % 2, 'disconnected', 'connected')
         FROM stations, n WHERE n = 0 OR station_id LIKE '%50' ORDER BY 1, 2",
        params![now_ms, DAY_MS, days],
    )?;
    conn.execute_batch("COMMIT")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_a_large_installation_is_reported_quickly() {
    let Some(_turn) = turn(CASE).await else { return };
    let site = fleet::gateway(&STATIONS).await;
    let days = slack(90, 31);
    block_in_place(|| fill(&site.database(), days)).expect("the rows are legal");
    let rows = site.gateway.store().seed_number("SELECT count(*) FROM connector_history").await;
    let size = std::fs::metadata(site.database()).expect("a file").len() >> 20;
    tell(CASE, &format!("{rows} changes of {days} days, a database of {size} MiB"));
    for path in [
        "/reports/uptime?since=30d",
        "/reports/uptime?since=30d&rule=cec",
        "/reports/uptime?since=30d&rule=uk&group_by=site",
        "/reports/uptime?since=1d",
        "/reports/uptime?since=30d&station_id=FLEET_0100",
    ] {
        let times = fleet::ask(&site, path, 5).await;
        tell(CASE, &format!("{path}: {}", summary(&times)));
    }
}
