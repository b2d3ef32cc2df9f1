//! How busy the GPU's units are.

use crate::gpu::Gpu;
use crate::nvml::{Device, NvmlError};
use crate::sheet::Sheet;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::{hw, nvidia};
use accelscope_core::metric::key;

type Ask = fn(Device) -> Result<(u32, u32), NvmlError>;

pub(super) struct Utilization;

impl Topic for Utilization {
    fn name(&self) -> &'static str {
        "utilization"
    }

    fn read(&mut self, gpu: &mut Gpu, sheet: &mut Sheet) {
        if let Some(rates) = gpu.ask("utilization", sheet, Device::utilization_rates) {
            tell(gpu, "general", rates.gpu, sheet);
            match ratio(rates.memory) {
                Some(share) => sheet.gauge(&nvidia::MEMORY_BANDWIDTH_UTILIZATION, gpu, [], share),
                None => sheet.skip("memory_bandwidth.out_of_range"),
            }
        }
        let units: [(&str, &'static str, Ask); 4] = [
            ("encoder", "encoder_utilization", Device::encoder_utilization),
            ("decoder", "decoder_utilization", Device::decoder_utilization),
            ("jpeg", "jpeg_utilization", Device::jpeg_utilization),
            ("ofa", "ofa_utilization", Device::ofa_utilization),
        ];
        for (task, field, ask) in units {
            if let Some((percent, _)) = gpu.ask(field, sheet, ask) {
                tell(gpu, task, percent, sheet);
            }
        }
    }
}

fn tell(gpu: &Gpu, task: &'static str, percent: u32, sheet: &mut Sheet) {
    match ratio(percent) {
        Some(share) => sheet.gauge(&hw::GPU_UTILIZATION, gpu, [(key::HW_GPU_TASK, task.into())], share),
        None => sheet.skip("utilization.out_of_range"),
    }
}

/// More than all of the time is no reading.
fn ratio(percent: u32) -> Option<f64> {
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}
