//! Electric power and energy.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::meter::Meter;
use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::key;
use crate::nvml::{Device, NvmlError};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::Attribute;
use accelscope_core::metric::catalogue::hw;

type Ask = fn(Device) -> Result<u32, NvmlError>;

/// Limit of a board's power: higher values are sentinels.
const MOST_MILLIWATTS: u32 = 100_000_000;

/// Power, its limits, and energy.
#[derive(Default)]
pub(super) struct Power {
    meters: HashMap<Arc<str>, Meter>,
}

impl Topic for Power {
    fn name(&self) -> &'static str {
        "power"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        if let Some(watts) = gpu.ask("power", recorder, Device::power_usage).and_then(watts) {
            recorder.gauge(&hw::POWER, &gpu.label, [hw_type()], watts);
        }
        if let Some(millijoules) = gpu.ask("energy", recorder, Device::total_energy_consumption) {
            let meter = self.meters.entry(Arc::clone(&gpu.uuid)).or_default();
            match meter.take(millijoules, Instant::now()) {
                Ok(()) => recorder.total(&hw::ENERGY, &gpu.label, [hw_type()], millijoules as f64 / 1000.0),
                Err(reason) => recorder.skip(reason),
            }
        }
        limits(gpu, recorder);
    }
}

fn limits(gpu: &mut Gpu, recorder: &mut Recorder) {
    let limits: [(&str, &'static str, Ask); 3] = [
        ("enforced", "enforced_power_limit", Device::enforced_power_limit),
        ("configured", "power_limit", Device::power_management_limit),
        ("default", "default_power_limit", Device::default_power_limit),
    ];
    for (kind, field, ask) in limits {
        if let Some(watts) = gpu.ask(field, recorder, ask).and_then(watts) {
            let kind = (key::NVIDIA_POWER_LIMIT, kind.into());
            recorder.gauge(&nvidia::POWER_LIMIT, &gpu.label, [kind], watts);
        }
    }
}

fn watts(milliwatts: u32) -> Option<f64> {
    (milliwatts <= MOST_MILLIWATTS).then(|| f64::from(milliwatts) / 1000.0)
}

pub(crate) fn hw_type() -> Attribute {
    (key::HW_TYPE, "gpu".into())
}
