//! The settings of a gateway that is one of several on one database.

use std::fmt;
use std::str::FromStr;

use super::{Broken, Rules, TextSetting, table};
use crate::units::Span;

/// The longest name of a node, in characters.
const NAME_MAX_CHARS: usize = 100;

table! {
    /// `[node]`: this gateway among those that share its database.
    pub struct Node {
        /// Its name; `None`: that of the machine, and the port that chargers connect to.
        name: Option<NodeName> = None,
        /// So long after its last sign of life the others take over what it was doing.
        lease: Span = Span::seconds(15),
        /// How long a stop may take to close the chargers' sockets one by one.
        drain: Span = Span::seconds(10),
    }
}

impl Rules for Node {
    fn check(&self, broken: &mut Broken) {
        broken.unless(self.lease >= Span::seconds(3), "lease", "must be at least 3s");
    }
}

impl Node {
    /// Its name, on a machine of this name, where chargers connect to this port.
    pub fn name_on(&self, machine: &str, port: u16) -> String {
        self.name.as_ref().map_or_else(|| format!("{machine}:{port}"), ToString::to_string)
    }
}

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

/// A text that is no name of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a node: write 1 to 100 letters, digits, and . - _ :")]
pub struct InvalidNodeName(String);

impl FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(text: &str) -> Result<Self, InvalidNodeName> {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        match (1..=NAME_MAX_CHARS).contains(&text.len()) && text.chars().all(is_legal) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidNodeName(text.to_owned())),
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TextSetting for NodeName {
    const FORM: &'static str = "a name such as \"berlin-1\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_or_goes_by_its_machine_and_port() {
        assert_eq!(Node::default().name_on("berlin", 9000), "berlin:9000");
        let named = Node { name: Some("a-1.b_2:3".parse().expect("a name")), ..Node::default() };
        assert_eq!(named.name_on("berlin", 9000), "a-1.b_2:3");
        for wrong in ["", "a b", "ä", "a/b", &"a".repeat(101)] {
            assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
        }
    }
}
