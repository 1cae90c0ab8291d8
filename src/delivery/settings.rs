//! The settings of deliveries.

use vocabulary::setting::{Broken, Rules, table};
use vocabulary::units::{ByteSize, Span};

table! {
    /// `[delivery]`: how webhooks are sent.
    pub struct Settings {
        /// How many requests may be under way at once, over all webhooks.
        max_in_flight: u32 = 1024,
        /// How many bytes of memory they may hold, over all webhooks.
        max_in_flight_size: ByteSize = ByteSize(64 << 20),
        /// A webhook is disabled once every delivery to it has failed for so long.
        auto_disable_after: Span = Span::seconds(5 * 86_400),
    }
}

impl Rules for Settings {
    fn check(&self, broken: &mut Broken) {
        broken.unless_positive(&[("max_in_flight", self.max_in_flight)]);
        let room = self.max_in_flight_size >= ByteSize(1 << 20);
        broken.unless(room, "max_in_flight_size", "must be 1MiB or more");
        broken.unless_positive(&[("auto_disable_after", self.auto_disable_after)]);
    }
}
