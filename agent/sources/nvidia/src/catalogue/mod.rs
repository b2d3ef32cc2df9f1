//! Instruments of NVIDIA GPUs.

pub mod nvidia;
pub mod nvidia_parts;

use crate::key::{NVIDIA_COMPUTE_INSTANCE, NVIDIA_GPM_UNIT, NVIDIA_GPU_INSTANCE, NVIDIA_MIG_UUID, NVIDIA_XID};
use accelscope_core::energy::Instances;
use accelscope_core::metric::Instrument;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::source::Extension;

/// Everything that the worker may send: the instruments of the source, and those that other sources have too.
pub(crate) const EMITTED: &[&[&Instrument]] = &[
    nvidia::ALL,
    nvidia_parts::ALL,
    &[
        &hw::GPU_UTILIZATION,
        &hw::GPU_MEMORY_USAGE,
        &hw::GPU_MEMORY_LIMIT,
        &hw::GPU_MEMORY_UTILIZATION,
        &hw::GPU_IO,
        &hw::POWER,
        &hw::ENERGY,
        &hw::TEMPERATURE,
        &hw::TEMPERATURE_LIMIT,
        &hw::FAN_SPEED_RATIO,
        &hw::ERRORS,
        &hw::STATUS,
        &accel::PROCESS_MEMORY_USAGE,
        &accel::PROCESS_UTILIZATION,
        &accel::PROCESS_START_TIME,
    ],
];

/// How busy GPU instances are, of which the driver reports nothing by process.
pub(crate) const INSTANCES: Instances = Instances {
    number: NVIDIA_GPU_INSTANCE,
    utilization: &nvidia_parts::GPM_UTILIZATION,
    unit: (NVIDIA_GPM_UNIT, "graphics"),
    size: &nvidia_parts::MIG_MEMORY_LIMIT,
    whole: &hw::GPU_MEMORY_LIMIT,
};

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
