//! MIG devices.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use super::{Device, NvmlError, OrOlder, call, sys, zeroed};

/// A MIG device: a compute instance in its GPU instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MigDevice {
    pub(crate) device: Device,
    pub(crate) gpu_instance: u32,
    pub(crate) compute_instance: Option<u32>,
}

/// Sizes of a MIG device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MigSizes {
    pub(crate) multiprocessors: u32,
    pub(crate) gpu_slices: u32,
    pub(crate) compute_slices: u32,
    pub(crate) memory_mib: u64,
}

impl Device {
    /// The MIG device in a slot of the GPU.
    pub(crate) fn mig_device(self, slot: u32) -> Result<MigDevice, NvmlError> {
        let nvml = self.nvml();
        let mut handle = std::ptr::null_mut();
        // SAFETY: the handle is the library's, and the function writes one handle.
        unsafe {
            call!(
                nvml,
                nvmlDeviceGetMigDeviceHandleByIndex(self.handle(), slot, &raw mut handle)
            )
        }?;
        let mut gpu_instance = u32::MAX;
        // SAFETY: the handle is the library's, and the function writes one unsigned int.
        unsafe { call!(nvml, nvmlDeviceGetGpuInstanceId(handle, &raw mut gpu_instance)) }?;
        let mut compute_instance = u32::MAX;
        // SAFETY: as above.
        let has_compute = unsafe { call!(nvml, nvmlDeviceGetComputeInstanceId(handle, &raw mut compute_instance)) };
        Ok(MigDevice {
            device: Self::new(nvml, handle),
            gpu_instance,
            compute_instance: (has_compute.is_ok() && compute_instance != u32::MAX).then_some(compute_instance),
        })
    }

    /// Sizes of this MIG device.
    pub(crate) fn mig_sizes(self) -> Result<MigSizes, NvmlError> {
        let mut found: sys::nvmlDeviceAttributes_t = zeroed();
        // SAFETY: the handle is the library's, and both functions write this structure.
        unsafe {
            call!(self.nvml(), nvmlDeviceGetAttributes_v2(self.handle(), &raw mut found))
                .or_older(|| call!(self.nvml(), nvmlDeviceGetAttributes(self.handle(), &raw mut found)))
        }?;
        Ok(MigSizes {
            multiprocessors: found.multiprocessorCount,
            gpu_slices: found.gpuInstanceSliceCount,
            compute_slices: found.computeInstanceSliceCount,
            memory_mib: found.memorySizeMB,
        })
    }
}
