//! The instances into which a GPU is partitioned, looked for anew at each reading: handles of those that were destroyed
//! are reused with other properties (nvml.h 13.5, `nvmlDeviceGetMigDeviceHandleByIndex`).

use crate::gpu::Gpu;
use crate::nvml::{Code, Device, MigDevice, NvmlError};
use crate::recorder::Recorder;

/// More than any GPU can be divided into: 7 today.
const MOST: u32 = 64;

impl MigDevice {
    /// A reading of it. An instance that was destroyed since it was found does not make the GPU refuse the field for its
    /// other instances.
    pub(in crate::topics) fn ask<T>(
        &self,
        gpu: &mut Gpu,
        field: &'static str,
        recorder: &mut Recorder,
        question: impl FnOnce(Device) -> Result<T, NvmlError>,
    ) -> Option<T> {
        gpu.ask(field, recorder, |_| or_gone(question(self.device)))
    }
}

/// A handle or id of an instance that is no longer there is an invalid argument (nvml.h 13.5), which passes.
pub(in crate::topics) fn or_gone<T>(result: Result<T, NvmlError>) -> Result<T, NvmlError> {
    result.map_err(|error| match error.code {
        Code::InvalidArgument => NvmlError {
            code: Code::NotFound,
            ..error
        },
        _ => error,
    })
}

/// All of a GPU, in the order of their slots; none where it is not partitioned.
pub(in crate::topics) fn instances(gpu: &mut Gpu, recorder: &mut Recorder) -> Vec<MigDevice> {
    if !gpu.is_mig {
        return Vec::new();
    }
    let slots = gpu.ask("mig_device_count", recorder, Device::mig_slots).unwrap_or(0);
    let mut found = Vec::new();
    for slot in 0..slots.min(MOST) {
        let instance = gpu.ask("mig_device", recorder, |gpu| match gpu.mig_device(slot) {
            Ok(instance) => Ok(Some(instance)),
            // An empty slot, for which drivers return different codes, or one that was emptied between two calls.
            Err(error) if is_empty(error.code) => Ok(None),
            Err(error) => Err(error),
        });
        found.extend(instance.flatten());
    }
    found
}

const fn is_empty(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::InvalidArgument | Code::NotSupported)
}
