//! The GPU's memory.

use crate::catalogue::nvidia;
use crate::gpu::Gpu;
use crate::nvml::Device;
use crate::recorder::Recorder;
use accelscope_core::metric::catalogue::hw;

pub(super) fn read(gpu: &mut Gpu, recorder: &mut Recorder) {
    let Some(memory) = gpu.ask("memory", recorder, Device::memory) else {
        return;
    };
    // Boards that share the host's memory (Grace, Jetson) may report none.
    if memory.total == 0 || memory.used > memory.total {
        recorder.skip("memory.out_of_range");
        return;
    }
    recorder.whole(&hw::GPU_MEMORY_LIMIT, &gpu.label, [], memory.total);
    recorder.whole(&hw::GPU_MEMORY_USAGE, &gpu.label, [], memory.used);
    let share = memory.used as f64 / memory.total as f64;
    recorder.gauge(&hw::GPU_MEMORY_UTILIZATION, &gpu.label, [], share);
    if let Some(reserved) = memory.reserved {
        recorder.whole(&nvidia::MEMORY_RESERVED, &gpu.label, [], reserved);
    }
}
