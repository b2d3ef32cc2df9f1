//! The instances into which a GPU is partitioned, searched for at each reading: handles of destroyed instances are
//! reused with other properties (nvml.h 13.5, `nvmlDeviceGetMigDeviceHandleByIndex`).

use crate::gpu::Gpu;
use crate::nvml::{Code, Device, MigDevice, NvmlError};
use crate::recorder::Recorder;

/// Limit of instances of a GPU: 7 today.
const MOST: u32 = 64;

impl MigDevice {
    /// A reading of the instance. If the instance was destroyed since it was found, the field is not marked as
    /// unsupported for the GPU's other instances.
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

/// A handle or id of a destroyed instance is an invalid argument (nvml.h 13.5), which is temporary.
pub(in crate::topics) fn or_gone<T>(result: Result<T, NvmlError>) -> Result<T, NvmlError> {
    result.map_err(|error| match error.code {
        Code::InvalidArgument => NvmlError {
            code: Code::NotFound,
            ..error
        },
        _ => error,
    })
}

/// All instances of a GPU, in the order of their slots; none if it is not partitioned.
pub(in crate::topics) fn instances(gpu: &mut Gpu, recorder: &mut Recorder) -> Vec<MigDevice> {
    if !gpu.is_mig {
        gpu.instances = None;
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
    gpu.instances = Some(found.iter().map(|one: &MigDevice| one.gpu_instance).collect());
    found
}

const fn is_empty(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::InvalidArgument | Code::NotSupported)
}
