//! `hw.id`s of devices that tell no serial number or UUID: made of their place, the machine's id and the node's name, so that
//! they are the same after a reboot and differ in each slot of each node.

use uuid::{Uuid, uuid};

/// Devices whose ids are made in one way. Each has a namespace that was chosen at random; a change would give every device in
/// the fleet a new id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Derivation {
    /// NVIDIA's GPUs, by `bus\0<address>` or `index\0<number>`.
    Nvidia,
    /// Hailo's devices, by their address.
    Hailo,
    /// Ascend's chips, by the ids of NPU and chip.
    Ascend,
    /// PCI functions of which no source knows more, by their address.
    Pci,
}

impl Derivation {
    const fn namespace(self) -> (Uuid, &'static str) {
        match self {
            Self::Nvidia => (uuid!("1f5c2f0e-8b0b-4f6e-9d5e-5c3f0c6b8a41"), "nvidia"),
            Self::Hailo => (uuid!("8f1d2b0e-61f7-4c0a-9d43-1f0c7c2a55e1"), "hailo"),
            Self::Ascend => (uuid!("3b0d8d6f-52f5-4b42-8d0d-2f6f0a51c9e7"), "ascend"),
            Self::Pci => (uuid!("5a8e4f0b-3c2d-4a6e-9b1f-7d20c4e83a16"), "pci"),
        }
    }

    /// The id of the device at `place`.
    pub fn id(self, place: &str, machine_id: &str, node_name: &str) -> String {
        let (namespace, kind) = self.namespace();
        let name = format!("{kind}\0{place}\0{machine_id}\0{node_name}");
        Uuid::new_v5(&namespace, name.as_bytes()).to_string()
    }
}
