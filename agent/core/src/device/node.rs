//! How the nodes of a family are recognised.

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
    /// What else must hold, where several vendors share a class or a name.
    pub requires: Requires,
}

/// What else must hold for a node to be of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requires {
    /// Nothing.
    Nothing,
    /// The device's PCI vendor, as sysfs writes it.
    Vendor(&'static str),
    /// The name of the device's driver in sysfs.
    Driver(&'static str),
}

impl NodeKind {
    /// Whether a path below `/dev` is one of its nodes'.
    pub fn has_node(&self, node: &str) -> bool {
        let node = node.as_bytes();
        self.nodes.iter().any(|pattern| matches(pattern.as_bytes(), node))
    }
}
