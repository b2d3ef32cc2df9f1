//! The instances into which a GPU is partitioned, looked for anew at each reading: handles of those that were destroyed
//! are reused with other properties (nvml.h 13.5, `nvmlDeviceGetMigDeviceHandleByIndex`).
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use crate::gpu::Gpu;
use crate::nvml::{Code, Device, NvmlError, OrOlder, call, sys};
use crate::sheet::Sheet;

/// More than any GPU can be divided into: 7 today.
const MOST: u32 = 64;

/// A MIG device: a compute instance in its GPU instance.
#[derive(Debug, Clone, Copy)]
pub(in crate::topics) struct MigDevice {
    pub(in crate::topics) device: Device,
    pub(in crate::topics) gpu_instance: u32,
    pub(in crate::topics) compute_instance: Option<u32>,
}

impl MigDevice {
    /// A reading of it. That it was destroyed since it was found says nothing of what the GPU's other instances can tell.
    pub(in crate::topics) fn ask<T>(
        &self,
        gpu: &mut Gpu,
        field: &'static str,
        sheet: &mut Sheet,
        question: impl FnOnce(Device) -> Result<T, NvmlError>,
    ) -> Option<T> {
        gpu.ask(field, sheet, |_| or_gone(question(self.device)))
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

/// Sizes of a MIG device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) multiprocessors: u32,
    pub(super) gpu_slices: u32,
    pub(super) compute_slices: u32,
    pub(super) memory_mib: u64,
}

/// All of a GPU, in the order of their slots; none where it is not partitioned.
pub(in crate::topics) fn instances(gpu: &mut Gpu, sheet: &mut Sheet) -> Vec<MigDevice> {
    if !gpu.is_mig {
        return Vec::new();
    }
    let slots = gpu.ask("mig_device_count", sheet, slots).unwrap_or(0);
    let mut found = Vec::new();
    for slot in 0..slots.min(MOST) {
        let instance = gpu.ask("mig_device", sheet, |gpu| match in_slot(gpu, slot) {
            Ok(instance) => Ok(Some(instance)),
            // An empty slot; drivers differ in how they say so. Or it was emptied between two calls.
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

fn slots(gpu: Device) -> Result<u32, NvmlError> {
    let mut count = 0;
    // SAFETY: the handle is the library's, and the function writes one unsigned int.
    unsafe { call!(gpu.nvml(), nvmlDeviceGetMaxMigDeviceCount(gpu.handle(), &raw mut count)) }?;
    Ok(count)
}

fn in_slot(gpu: Device, slot: u32) -> Result<MigDevice, NvmlError> {
    let mut handle = std::ptr::null_mut();
    // SAFETY: the handle is the library's, and the function writes one handle.
    unsafe {
        call!(
            gpu.nvml(),
            nvmlDeviceGetMigDeviceHandleByIndex(gpu.handle(), slot, &raw mut handle)
        )
    }?;
    let device = Device::new(gpu.nvml(), handle);
    let mut gpu_instance = u32::MAX;
    // SAFETY: the handle is the library's, and the function writes one unsigned int.
    unsafe { call!(gpu.nvml(), nvmlDeviceGetGpuInstanceId(handle, &raw mut gpu_instance)) }?;
    let mut compute_instance = u32::MAX;
    // SAFETY: as above.
    let told = unsafe {
        call!(
            gpu.nvml(),
            nvmlDeviceGetComputeInstanceId(handle, &raw mut compute_instance)
        )
    };
    Ok(MigDevice {
        device,
        gpu_instance,
        compute_instance: (told.is_ok() && compute_instance != u32::MAX).then_some(compute_instance),
    })
}

/// How large it is.
pub(super) fn sizes(mig: Device) -> Result<Sizes, NvmlError> {
    let mut found = sys::nvmlDeviceAttributes_t {
        multiprocessorCount: 0,
        sharedCopyEngineCount: 0,
        sharedDecoderCount: 0,
        sharedEncoderCount: 0,
        sharedJpegCount: 0,
        sharedOfaCount: 0,
        gpuInstanceSliceCount: 0,
        computeInstanceSliceCount: 0,
        memorySizeMB: 0,
    };
    // SAFETY: the handle is the library's, and both functions write this structure.
    unsafe {
        call!(mig.nvml(), nvmlDeviceGetAttributes_v2(mig.handle(), &raw mut found))
            .or_older(|| call!(mig.nvml(), nvmlDeviceGetAttributes(mig.handle(), &raw mut found)))
    }?;
    Ok(Sizes {
        multiprocessors: found.multiprocessorCount,
        gpu_slices: found.gpuInstanceSliceCount,
        compute_slices: found.computeInstanceSliceCount,
        memory_mib: found.memorySizeMB,
    })
}
