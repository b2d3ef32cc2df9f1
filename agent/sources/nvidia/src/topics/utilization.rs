//! Utilization of the GPU's units.

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::nvml::{Device, NvmlError};
use crate::recorder::Recorder;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::key;

type Ask = fn(Device) -> Result<(u32, u32), NvmlError>;

pub(super) fn read(gpu: &mut Gpu, recorder: &mut Recorder) {
    if let Some(rates) = gpu.ask("utilization", recorder, Device::utilization_rates) {
        record(gpu, "general", rates.gpu, recorder);
        match ratio(rates.memory) {
            Some(share) => recorder.gauge(&nvidia::MEMORY_BANDWIDTH_UTILIZATION, &gpu.label, [], share),
            None => recorder.skip("memory_bandwidth.out_of_range"),
        }
    }
    let units: [(&str, &'static str, Ask); 4] = [
        ("encoder", "encoder_utilization", Device::encoder_utilization),
        ("decoder", "decoder_utilization", Device::decoder_utilization),
        ("jpeg", "jpeg_utilization", Device::jpeg_utilization),
        ("ofa", "ofa_utilization", Device::ofa_utilization),
    ];
    for (task, field, ask) in units {
        if let Some((percent, _)) = gpu.ask(field, recorder, ask) {
            record(gpu, task, percent, recorder);
        }
    }
}

fn record(gpu: &Gpu, task: &'static str, percent: u32, recorder: &mut Recorder) {
    match ratio(percent) {
        Some(share) => recorder.gauge(
            &hw::GPU_UTILIZATION,
            &gpu.label,
            [(key::HW_GPU_TASK, task.into())],
            share,
        ),
        None => recorder.skip("utilization.out_of_range"),
    }
}

/// `None` above 100 %, which is invalid.
fn ratio(percent: u32) -> Option<f64> {
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}
