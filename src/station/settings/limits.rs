//! `[limits]`, as far as it is about stations.

use crate::station::rate_limiter::Rate;
use vocabulary::setting::{Broken, Rules, table};
use vocabulary::units::{ByteSize, Span};

table! {
    /// `[limits]`, as far as it is about stations: what one of them, or all of them, may ask of the gateway.
    #[derive(Copy)]
    pub struct Limits {
        /// The largest OCPP message; a larger one closes the socket with 1009.
        message_size: ByteSize = ByteSize(1 << 20),
        /// Messages a second that one station is read at in the long run; beyond it the socket is read
        /// slower.
        messages_per_second: u32 = 100,
        /// Messages that one station may send at once before `messages_per_second` slows it down.
        message_burst: u32 = 1_000,
        /// Open station sockets.
        connections: u32 = 25_000,
        /// New station sockets a second.
        handshakes_per_second: u32 = 2_000,
        /// How long a handshake may take.
        handshake_timeout: Span = Span::seconds(10),
        /// Closes a socket on which nothing, pongs included, was received for so long; `None` never does. No
        /// shorter than a charger without anything to say may be silent.
        idle_timeout: Option<Span> = None,
        /// Unknown stations that are registered in a minute.
        discovered_per_minute: u32 = 600,
        /// Wrong or missing credentials a minute that are looked at of one station at one address, and ten
        /// times as many of an address.
        bad_credentials_per_minute: u32 = 10,
    }
}

impl Limits {
    pub(in crate::station) fn handshakes(&self) -> Rate {
        let per_second = f64::from(self.handshakes_per_second);
        Rate { per_second, burst: per_second }
    }

    pub(in crate::station) fn discoveries(&self) -> Rate {
        let per_minute = f64::from(self.discovered_per_minute);
        Rate { per_second: per_minute / 60.0, burst: per_minute }
    }

    pub(in crate::station) fn messages(&self) -> Rate {
        Rate { per_second: f64::from(self.messages_per_second), burst: f64::from(self.message_burst) }
    }
}

impl Rules for Limits {
    fn check(&self, broken: &mut Broken) {
        broken.unless_positive(&[
            ("messages_per_second", self.messages_per_second),
            ("message_burst", self.message_burst),
            ("connections", self.connections),
            ("handshakes_per_second", self.handshakes_per_second),
            ("discovered_per_minute", self.discovered_per_minute),
            ("bad_credentials_per_minute", self.bad_credentials_per_minute),
        ]);
        broken.unless_positive(&[("handshake_timeout", self.handshake_timeout)]);
        broken.unless_message_size(self.message_size, "message_size");
    }
}
