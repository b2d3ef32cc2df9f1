//! The driver's own utilization samples (`nvmlDeviceGetSamples`).
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use super::sys::{self, nvmlSample_t};
use super::{Code, Device, NvmlError, call, zeroed};

/// Limit of samples in one call: the driver keeps about a hundred.
const MOST: u32 = 16 * 1024;

impl Device {
    /// GPU utilization samples after `since`, as pairs of time (microseconds since the Unix epoch, like `since`) and
    /// percentage; none where there are no new ones.
    pub(crate) fn utilization_samples(self, since: u64) -> Result<Vec<(u64, u32)>, NvmlError> {
        let kind = sys::nvmlSamplingType_enum_NVML_GPU_UTILIZATION_SAMPLES;
        let mut value_type = 0;
        let mut ask = |count: &mut u32, to: *mut nvmlSample_t| {
            // SAFETY: there is room for `count` samples, or `to` is null and only the count is written.
            unsafe {
                call!(
                    self.nvml(),
                    nvmlDeviceGetSamples(self.handle(), kind, since, &raw mut value_type, &raw mut *count, to)
                )
            }
        };
        let none = |error: NvmlError| {
            if error.code == Code::NotFound {
                Ok(())
            } else {
                Err(error)
            }
        };
        let mut count = 0;
        ask(&mut count, std::ptr::null_mut()).or_else(none)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        // Some more for those that are taken in between.
        count = count.saturating_add(16).min(MOST);
        let mut samples = vec![zeroed(); count as usize];
        match ask(&mut count, samples.as_mut_ptr()) {
            Ok(()) => samples.truncate(count as usize),
            Err(error) => {
                none(error)?;
                samples.clear();
            }
        }
        let percent = |sample: &nvmlSample_t| {
            // SAFETY: the union was zeroed, and then written by the library; for utilization always an unsigned int
            // (nvml.h 13.5, `nvmlDeviceGetSamples`).
            (sample.timeStamp, unsafe { sample.sampleValue.uiVal })
        };
        Ok(samples.iter().map(percent).collect())
    }
}
