//! The GPU's memory.

use crate::gpu::Gpu;
use crate::nvml::Device;
use crate::sheet::Sheet;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::{hw, nvidia};

pub(super) struct Memory;

impl Topic for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn read(&mut self, gpu: &mut Gpu, sheet: &mut Sheet) {
        let Some(memory) = gpu.ask("memory", sheet, Device::memory) else {
            return;
        };
        // Boards that share the host's memory (Grace, Jetson) may tell of none.
        if memory.total == 0 || memory.used > memory.total {
            sheet.skip("memory.out_of_range");
            return;
        }
        sheet.whole(&hw::GPU_MEMORY_LIMIT, gpu, [], memory.total);
        sheet.whole(&hw::GPU_MEMORY_USAGE, gpu, [], memory.used);
        let share = memory.used as f64 / memory.total as f64;
        sheet.gauge(&hw::GPU_MEMORY_UTILIZATION, gpu, [], share);
        if let Some(reserved) = memory.reserved {
            sheet.whole(&nvidia::MEMORY_RESERVED, gpu, [], reserved);
        }
    }
}
