//! Numbers of rows that others keep: cursors are made of them.

use std::fmt;

/// Where an event stands in the log: events have ascending positions in the order of their commits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition(i64);

/// The number of a delivery's row: deliveries have ascending ones in the order of their commits.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryRow(i64);

macro_rules! row_number {
    ($name:ident) => {
        impl $name {
            /// Before all of them.
            pub const START: Self = Self(0);

            /// The one of this number.
            pub const fn from_number(number: i64) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn number(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

impl LogPosition {
    /// How many events there are at most behind `earlier` and up to here.
    pub fn rows_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0).max(0) as u64
    }
}

row_number!(LogPosition);
row_number!(DeliveryRow);
