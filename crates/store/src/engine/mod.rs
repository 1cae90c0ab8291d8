//! What the use cases run on.

pub(crate) mod embedded;
