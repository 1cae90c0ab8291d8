//! What a charger is told when the store has failed.

use crate::station::handshake::Refusal;
use store::StoreError;

/// The refusal of a handshake that the store could not decide.
pub(super) fn refusal(error: &StoreError) -> Refusal {
    if error.is_away() { Refusal::StoreAway } else { Refusal::Internal }
}
