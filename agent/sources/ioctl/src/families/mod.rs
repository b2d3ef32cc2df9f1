//! The families of device nodes that are watched, and which of them a node is of.

mod own;

pub use own::{ACCEL, AMD_KFD, DRM, FURIOSA, HABANA, OTHER, REBELLIONS, TENSTORRENT, TPU};

pub(crate) use own::OWN;

use std::collections::BTreeSet;

use accelscope_core::device::{DeviceFamily, NodeKind, Requires};
use accelscope_core::source::Sources;

/// A family of device nodes, compared by its name.
pub type Family = &'static DeviceFamily;

/// The families of all sources.
#[derive(Debug, Clone, Default)]
pub struct Families(Vec<Family>);

impl Families {
    /// These families.
    pub fn new(families: impl IntoIterator<Item = Family>) -> Self {
        Self(families.into_iter().collect())
    }

    /// Those of the sources that are built in.
    pub fn of(sources: Sources) -> Self {
        let families = sources.iter().flat_map(|source| source.devices);
        Self::new(families.copied())
    }

    /// The family of that name.
    pub fn named(&self, name: &str) -> Option<Family> {
        self.0.iter().copied().find(|family| family.name == name)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|family| family.name)
    }

    /// Their kinds of nodes, those with a requirement first: a kind without one would take their nodes too.
    fn kinds(&self) -> impl Iterator<Item = (Family, &'static NodeKind)> + Clone {
        let all = self
            .0
            .iter()
            .flat_map(|family| family.nodes.iter().map(move |kind| (*family, kind)));
        let is_demanding = |(_, kind): &(Family, &NodeKind)| kind.requires != Requires::Nothing;
        all.clone()
            .filter(is_demanding)
            .chain(all.filter(move |kind| !is_demanding(kind)))
    }

    /// Classes in sysfs that hold their devices.
    pub(super) fn classes(&self) -> BTreeSet<&'static str> {
        self.kinds().flat_map(|(_, kind)| kind.classes).copied().collect()
    }

    /// Folders below `/dev` in which their nodes are, the empty one for `/dev` itself.
    pub(super) fn folders(&self) -> BTreeSet<&'static str> {
        let patterns = self.kinds().flat_map(|(_, kind)| kind.nodes);
        patterns
            .map(|pattern| pattern.rsplit_once('/').map_or("", |(folder, _)| folder))
            .collect()
    }

    /// Whether a path below `/dev` is named as a node of theirs.
    pub(super) fn has_node(&self, node: &str) -> bool {
        self.kinds().any(|(_, kind)| kind.has_node(node))
    }

    /// Whether a node can be of any family, whatever that requires of its device: what there is to read of the device is
    /// read for few of the nodes of a machine.
    pub(super) fn may_include(&self, signs: &Signs<'_>) -> bool {
        self.kinds()
            .any(|(_, kind)| signs.identify(kind) || signs.is_named_as(kind))
    }

    /// The family of a node. Its class or its driver's name decides; its own name only where no known driver has its
    /// number, because a node may be older than the driver that has that number now.
    pub(super) fn family(&self, signs: &Signs<'_>) -> Option<Family> {
        let mut kinds = self.kinds().filter(|(_, kind)| signs.meet(kind.requires));
        if let Some((family, _)) = kinds.clone().find(|(_, kind)| signs.identify(kind)) {
            return Some(family);
        }
        if self.is_of_another_driver(signs) {
            return None;
        }
        let named = kinds.find(|(_, kind)| signs.is_named_as(kind));
        named.map(|(family, _)| family)
    }

    /// Whether its number is no driver's any more, that of memory (`/dev/null` under another name hides a device), or that
    /// of another kind.
    fn is_of_another_driver(&self, signs: &Signs<'_>) -> bool {
        let Some(drivers) = signs.drivers else { return false };
        drivers.is_empty()
            || drivers.iter().any(|driver| driver == "mem")
            || self.kinds().any(|(_, kind)| signs.has_driver_of(kind))
    }
}

/// What is seen of a node.
#[derive(Debug)]
pub(super) struct Signs<'a> {
    /// Its class in sysfs.
    pub(super) class: Option<&'a str>,
    /// What `/proc/devices` calls its major number; nothing where that cannot be read.
    pub(super) drivers: Option<&'a [String]>,
    /// Its path below `/dev`.
    pub(super) node: Option<&'a str>,
    /// Its device's PCI vendor and driver.
    pub(super) vendor: Option<&'a str>,
    pub(super) driver: Option<&'a str>,
}

impl Signs<'_> {
    fn meet(&self, requires: Requires) -> bool {
        match requires {
            Requires::Nothing => true,
            Requires::Vendor(vendor) => self.vendor == Some(vendor),
            Requires::Driver(driver) => self.driver == Some(driver),
        }
    }

    fn identify(&self, kind: &NodeKind) -> bool {
        self.class.is_some_and(|class| kind.classes.contains(&class)) || self.has_driver_of(kind)
    }

    fn is_named_as(&self, kind: &NodeKind) -> bool {
        self.node.is_some_and(|node| kind.has_node(node))
    }

    fn has_driver_of(&self, kind: &NodeKind) -> bool {
        let mut drivers = self.drivers.unwrap_or_default().iter();
        drivers.any(|driver| kind.drivers.contains(&driver.as_str()))
    }
}

#[cfg(test)]
mod tests;
