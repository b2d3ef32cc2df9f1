//! Everything that the sampler can emit.

use crate::metric::Instrument;
use crate::metric::catalogue::{hw, nvidia};

/// What the worker may send; anything else from it is rejected.
pub(super) static INSTRUMENTS: [&Instrument; 40] = [
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
    &nvidia::DEVICE_INFO,
    &nvidia::MEMORY_RESERVED,
    &nvidia::MEMORY_BANDWIDTH_UTILIZATION,
    &nvidia::POWER_LIMIT,
    &nvidia::TEMPERATURE_MARGIN,
    &nvidia::TEMPERATURE_MARGIN_LIMIT,
    &nvidia::CLOCK_FREQUENCY,
    &nvidia::CLOCK_FREQUENCY_LIMIT,
    &nvidia::THROTTLE_ACTIVE,
    &nvidia::PERFORMANCE_STATE,
    &nvidia::PCIE_LINK_GENERATION,
    &nvidia::PCIE_LINK_GENERATION_LIMIT,
    &nvidia::PCIE_LINK_WIDTH,
    &nvidia::PCIE_LINK_WIDTH_LIMIT,
    &nvidia::PCIE_REPLAYS,
    &nvidia::PCIE_ERRORS,
    &nvidia::NVLINK_IO,
    &nvidia::NVLINK_ERRORS,
    &nvidia::NVLINK_UP,
    &nvidia::ECC_ENABLED,
    &nvidia::ECC_ERRORS,
    &nvidia::ECC_LIFETIME_ERRORS,
    &nvidia::REMAPPED_ROWS,
    &nvidia::REMAPPED_ROWS_PENDING,
    &nvidia::REMAPPED_ROWS_FAILED,
    &nvidia::RETIRED_PAGES,
    &nvidia::RETIRED_PAGES_PENDING,
    // After these: what is read of processes and instances.
    &crate::metric::catalogue::accel::PROCESS_MEMORY_USAGE,
];
