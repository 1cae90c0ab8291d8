//! How many stations there are of each kind.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::Store;
use crate::engine::sql::values_of;
use crate::error::Result;
use crate::stations::filter::{StationFilter, fits};
use vocabulary::api::station_summary::{StationCount, StationGroup};

/// What stations have in common, as far as they are grouped by it: in the order of the groups, each word as a
/// text.
type Common = Vec<Option<String>>;

#[derive(Default)]
struct Tally {
    stations: u64,
    connected: u64,
}

impl Store {
    /// Counts the stations that `filter` wants, by what they have in common of `groups`; sorted by that.
    pub async fn station_summary(
        &self,
        filter: StationFilter,
        groups: Vec<StationGroup>,
    ) -> Result<Vec<StationCount>> {
        self.read(move |db| {
            let columns: String = groups.iter().map(|group| format!(", {}", column(*group))).collect();
            let conditions = filter.conditions();
            let sql = format!(
                "SELECT s.connected, s.metadata{columns} FROM stations AS s WHERE {}",
                conditions.text()
            );
            let mut tallies = BTreeMap::<Common, Tally>::new();
            db.each(&sql, &values_of(&conditions.into_values()), |row| {
                if filter.metadata.is_empty() || fits(&filter.metadata, &row.json(1)?) {
                    let common: Result<Common> =
                        (2..groups.len() + 2).map(|column| row.get(column)).collect();
                    let tally = tallies.entry(common?).or_default();
                    tally.stations += 1;
                    tally.connected += u64::from(row.get::<bool>(0)?);
                }
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(tallies.into_iter().map(|(common, tally)| counted(&groups, common, &tally)).collect())
        })
        .await
    }
}

/// The text of a group.
fn column(group: StationGroup) -> &'static str {
    match group {
        StationGroup::Site => "s.site",
        StationGroup::Vendor => "s.vendor",
        StationGroup::Model => "s.model",
        StationGroup::FirmwareVersion => "s.firmware_version",
        StationGroup::Owner => "s.owner_id",
        StationGroup::BootStatus => "s.boot_status",
        StationGroup::Connected => "CASE s.connected WHEN 1 THEN 'true' ELSE 'false' END",
    }
}

fn counted(groups: &[StationGroup], common: Common, tally: &Tally) -> StationCount {
    let mut count = StationCount {
        stations: tally.stations,
        connected_count: tally.connected,
        ..StationCount::default()
    };
    for (group, text) in groups.iter().zip(common) {
        match group {
            StationGroup::Site => count.site = Some(text),
            StationGroup::Vendor => count.vendor = Some(text),
            StationGroup::Model => count.model = Some(text),
            StationGroup::FirmwareVersion => count.firmware_version = Some(text),
            StationGroup::Owner => count.owner_id = Some(text),
            StationGroup::BootStatus => count.boot_status = text,
            StationGroup::Connected => count.connected = Some(text.as_deref() == Some("true")),
        }
    }
    count
}
