//! Families of device nodes: whose ioctls they take.

use std::fmt;

/// The family of a device node: the value of the attribute `accel.device.family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Hailo's NPUs, on PCIe and integrated.
    Hailo,
    /// NVIDIA's GPUs: the devices themselves, control, unified memory, modeset, capabilities and NVSwitch.
    Nvidia,
    /// Huawei's Ascend NPUs.
    Ascend,
    /// AMD's compute interface (`/dev/kfd`), one node for all GPUs.
    AmdKfd,
    /// A GPU of the kernel's Direct Rendering Manager (`/dev/dri/`).
    Drm,
    /// An accelerator of the kernel's accel subsystem (`/dev/accel/`) that has no family of its own.
    Accel,
    /// FuriosaAI's NPUs.
    Furiosa,
    /// Rebellions' NPUs.
    Rebellions,
    /// Tenstorrent's accelerators.
    Tenstorrent,
    /// Intel Gaudi, once Habana.
    Habana,
    /// Google's TPUs, those of the edge as well.
    Tpu,
    /// What the configuration names without saying whose it is.
    Other,
}

impl Family {
    /// Each of them.
    pub const ALL: [Self; 12] = [
        Self::Hailo,
        Self::Nvidia,
        Self::Ascend,
        Self::AmdKfd,
        Self::Drm,
        Self::Accel,
        Self::Furiosa,
        Self::Rebellions,
        Self::Tenstorrent,
        Self::Habana,
        Self::Tpu,
        Self::Other,
    ];

    /// The value of the attribute `accel.device.family`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hailo => "hailo",
            Self::Nvidia => "nvidia",
            Self::Ascend => "ascend",
            Self::AmdKfd => "amd_kfd",
            Self::Drm => "drm",
            Self::Accel => "accel",
            Self::Furiosa => "furiosa",
            Self::Rebellions => "rebellions",
            Self::Tenstorrent => "tenstorrent",
            Self::Habana => "habana",
            Self::Tpu => "tpu",
            Self::Other => "other",
        }
    }

    /// The family of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.as_str() == name)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
