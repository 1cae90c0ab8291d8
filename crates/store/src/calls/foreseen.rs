//! What serving a CALL will read, as far as the message alone tells.

use crate::access::id_tags;
use crate::calls::station_row::StationRow;
use crate::engine::job::Reads;
use crate::history::connector_status;
use crate::log::append;
use crate::sessions::{meter_values, transactions};
use vocabulary::id::StationId;
use vocabulary::ocpp::fact::Fact;
use vocabulary::ocpp::message::Inbound;

/// Moments of one message whose known values are foreseen.
const MOMENTS: usize = 4;

/// What serving this CALL begins with.
pub(super) fn of_call(station: &StationId, call: &Inbound) -> Reads {
    let mut foreseen = vec![StationRow::foreseen(station), append::foreseen(station)];
    let and_more = match call.message.fact() {
        Fact::Metered(values) => {
            if let Some(number) = values.transaction_id {
                foreseen.push(transactions::foreseen_of_meter(station, number));
                foreseen.push(transactions::foreseen_readings(number));
                let mut moments: Vec<_> =
                    values.meter_value.iter().filter_map(|value| value.timestamp).collect();
                moments.dedup();
                foreseen
                    .extend(moments.into_iter().take(MOMENTS).map(|at| meter_values::foreseen(number, at)));
            }
            false
        }
        Fact::ConnectorStatus(status) => {
            foreseen
                .extend(status.connector_id.map(|connector| connector_status::foreseen(station, connector)));
            false
        }
        Fact::SessionStarted(start) => {
            foreseen.push(transactions::foreseen_start(station, start));
            foreseen.push(transactions::foreseen_open(station, start.connector_id));
            foreseen.extend(start.id_tag.as_deref().into_iter().flat_map(id_tags::foreseen));
            true
        }
        Fact::SessionEnded(stop) => {
            if let Some(number) = stop.transaction_id {
                foreseen.push(transactions::foreseen_stop(station, number));
                foreseen.push(transactions::foreseen_evidence(number));
            }
            foreseen.extend(stop.id_tag.as_deref().into_iter().flat_map(id_tags::foreseen));
            true
        }
        Fact::TagShown { id_tag } => {
            foreseen.extend(id_tag.into_iter().flat_map(id_tags::foreseen));
            false
        }
        _ => false,
    };
    Reads { foreseen, and_more }
}
