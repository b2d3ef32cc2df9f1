//! Identity of chips.

use super::npu_smi::Chip;
use accelscope_core::device::Derivation;
use accelscope_core::host::HostRoots;

/// Key of a chip on its node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ChipKey {
    /// NPU and chip id.
    Ids(u32, u32),
    /// PCI address and chip id, where the NPU's id is absent.
    Bus(String, u32),
    /// Number of the row, where nothing else distinguishes the chip.
    Row(usize),
}

impl ChipKey {
    /// Key of a chip in row `row`.
    pub(super) fn of(chip: &Chip, row: usize) -> Self {
        match (chip.npu, &chip.bus_id, chip.chip) {
            (Some(npu), _, Some(id)) => Self::Ids(npu, id),
            (None, Some(bus), Some(id)) => Self::Bus(bus.to_ascii_lowercase(), id),
            _ => Self::Row(row),
        }
    }
}

/// What the ids of chips contain of their node.
#[derive(Debug)]
pub(super) struct Node {
    machine_id: String,
    node_name: String,
}

impl Node {
    pub(super) fn new(roots: &HostRoots, node_name: String) -> Self {
        Self {
            machine_id: roots.machine_id().unwrap_or_default(),
            node_name,
        }
    }

    /// `hw.id` of a chip: unique across nodes and stable across reboots.
    pub(super) fn hw_id(&self, key: &ChipKey) -> String {
        let chip = match key {
            ChipKey::Ids(npu, chip) => format!("{npu}\0{chip}"),
            ChipKey::Bus(bus, chip) => format!("bus\0{bus}\0{chip}"),
            ChipKey::Row(row) => format!("row\0{row}"),
        };
        Derivation::Ascend.id(&chip, &self.machine_id, &self.node_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chips_that_share_an_address_have_different_ids() {
        let node = Node::new(&HostRoots::new("/nonexistent"), "n".to_owned());
        let chip = |npu, chip| Chip {
            npu,
            chip: Some(chip),
            bus_id: Some("0000:81:00.0".to_owned()),
            ..Chip::default()
        };
        let id = |npu, number| node.hw_id(&ChipKey::of(&chip(npu, number), 0));
        assert_ne!(id(Some(32768), 0), id(Some(32768), 1));
        assert_ne!(id(Some(1), 0), id(None, 0));
        assert_eq!(id(Some(1), 0), id(Some(1), 0));
        assert_eq!(ChipKey::of(&Chip::default(), 3), ChipKey::Row(3));
    }
}
