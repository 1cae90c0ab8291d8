//! Charging sessions: transactions, their meter values and energy, reservations and remote starts.

pub(crate) mod close;
pub(crate) mod completion;
pub(crate) mod downsample;
pub(crate) mod ended_by;
pub(crate) mod energy;
pub(crate) mod live;
pub(crate) mod meter_values;
pub(crate) mod meters;
pub(crate) mod remote_start;
pub(crate) mod reservation_list;
pub(crate) mod reservations;
pub(crate) mod summary;
pub(crate) mod transaction_list;
pub(crate) mod transactions;
pub(crate) mod unweighed;
