//! What is kept of stations and connectors for reports over months.

use crate::words::words;

words! {
    /// Whether a station could be reached.
    pub enum Presence {
        /// It had a live connection.
        Connected = "connected",
        /// It had none.
        Disconnected = "disconnected",
        /// Its socket stayed open, and nothing came any more.
        Silent = "silent",
    }
}

impl Presence {
    /// Whether it could be reached.
    pub const fn is_online(self) -> bool {
        matches!(self, Self::Connected)
    }
}

words! {
    /// Why a connector may have been down.
    pub enum DowntimeCause {
        /// The station has accepted to take it out of service.
        Inoperative = "inoperative",
        /// The station has accepted to put it back into service.
        Operative = "operative",
        /// The station has told that a session ended because it had no power.
        PowerLoss = "power_loss",
    }
}
