//! The settings of the process as a whole. They are no single engine's, so everybody may read them.

use std::path::PathBuf;

use super::{Rules, table};
use crate::units::{ByteSize, Span};

table! {
    /// `[server]`: the process as a whole.
    pub struct Server {
        /// The directory of the database, its lock and the first admin key.
        data_dir: PathBuf = PathBuf::from("./data"),
        /// How long a stop waits for what is being sent; what is left is sent after the next start.
        stop_deadline: Span = Span::seconds(10),
        /// Free bytes of the data directory's file system below which the gateway warns; zero never does.
        warn_free_space: ByteSize = ByteSize(1 << 30),
    }
}

impl Rules for Server {}
