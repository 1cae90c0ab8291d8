//! The gateways that work on one store.

use super::{Call, Client};
use vocabulary::api::Page;
use vocabulary::api::node::Node;

impl Client {
    /// The nodes, the oldest first.
    pub fn nodes(&self) -> Call<Page<Node>> {
        self.get(&["nodes"], &[])
    }
}
