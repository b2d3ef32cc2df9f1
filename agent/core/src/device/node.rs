//! Recognition of a family's nodes.

use super::matches;

/// One kind of node of a family.
#[derive(Debug)]
pub struct NodeKind {
    /// Classes in sysfs.
    pub classes: &'static [&'static str],
    /// Names in `/proc/devices`.
    pub drivers: &'static [&'static str],
    /// Paths below `/dev`: `#` stands for digits, `*` for anything but a slash.
    pub nodes: &'static [&'static str],
    /// Further condition, if several vendors share a class or a name.
    pub requires: Requires,
}

/// Further condition for a node to be of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requires {
    /// No condition.
    Nothing,
    /// PCI vendor of the device, in sysfs' notation.
    Vendor(&'static str),
    /// Name of the device's driver in sysfs.
    Driver(&'static str),
}

impl NodeKind {
    /// Whether a path below `/dev` matches.
    pub fn has_node(&self, node: &str) -> bool {
        let node = node.as_bytes();
        self.nodes.iter().any(|pattern| matches(pattern.as_bytes(), node))
    }
}
