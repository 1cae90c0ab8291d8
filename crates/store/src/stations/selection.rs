//! Stations that are chosen for something: by a filter, or by their names.

use crate::Store;
use crate::engine::sql::params;
use crate::error::Result;
use crate::listing::Slice;
use crate::stations::filter::StationFilter;
use vocabulary::id::StationId;

/// Stations that one read looks up.
const PAGE: u32 = 1_000;

impl Store {
    /// The identities of the stations that `filter` wants, in the order it names; `None` if they are more
    /// than `most`.
    pub async fn station_ids(&self, filter: StationFilter, most: usize) -> Result<Option<Vec<StationId>>> {
        let mut ids = Vec::new();
        let mut slice = Slice { ascending: true, after: None, limit: PAGE };
        loop {
            let page = self.stations(filter.clone(), slice.clone()).await?;
            for station in page.rows {
                // Whatever stands in a row was checked when it was written.
                ids.extend(StationId::new(&station.station_id));
            }
            match page.next {
                _ if ids.len() > most => return Ok(None),
                None => return Ok(Some(ids)),
                after => slice.after = after,
            }
        }
    }

    /// The places in `ids` of stations that there are not, or that `visible_to` may not see.
    pub async fn unknown_stations(
        &self,
        ids: Vec<StationId>,
        visible_to: Option<String>,
    ) -> Result<Vec<usize>> {
        self.read(move |db| {
            let known = "SELECT 1 FROM stations WHERE station_id = ?1 AND (?2 IS NULL OR owner_id = ?2)";
            let mut unknown = Vec::new();
            for (place, id) in ids.iter().enumerate() {
                if !db.has(known, params![id, visible_to])? {
                    unknown.push(place);
                }
            }
            Ok(unknown)
        })
        .await
    }
}
