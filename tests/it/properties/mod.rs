//! What holds for any input whatever: any JSON, any bytes, any sequence of frames.
//!
//! `PROPTEST_CASES` sets the number of cases of each property; without it there are few enough for every day.

mod frames;
mod odd;
mod sessions;
mod socket;
mod values;

use proptest::prelude::ProptestConfig;

/// So many cases, unless the environment wants more.
fn cases(few: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|number| number.parse().ok());
    // What fails is printed in full; a file beside the tests would only repeat it.
    ProptestConfig { cases: wanted.unwrap_or(few), failure_persistence: None, ..ProptestConfig::default() }
}
