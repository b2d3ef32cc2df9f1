//! Instruments of NVIDIA GPUs.

pub mod nvidia;
pub mod nvidia_parts;

use crate::key::{NVIDIA_COMPUTE_INSTANCE, NVIDIA_GPU_INSTANCE, NVIDIA_MIG_UUID, NVIDIA_XID};
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::source::Extension;

/// The attributes of MIG instances and XIDs on the instruments that other sources have too.
pub(crate) const EXTENSIONS: &[Extension] = &[
    Extension {
        instruments: &[
            &accel::PROCESS_MEMORY_USAGE,
            &accel::PROCESS_UTILIZATION,
            &accel::PROCESS_START_TIME,
        ],
        attributes: &[NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE],
    },
    Extension {
        instruments: &[&hw::ERRORS],
        attributes: &[NVIDIA_XID, NVIDIA_GPU_INSTANCE, NVIDIA_COMPUTE_INSTANCE],
    },
    Extension {
        instruments: &[&accel::DEVICE_ALLOCATION],
        attributes: &[NVIDIA_MIG_UUID, NVIDIA_GPU_INSTANCE],
    },
];
