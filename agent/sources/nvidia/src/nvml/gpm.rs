//! GPU performance monitoring (GPM): samples, and metrics between two of them.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use super::sys::{self, nvmlGpmMetric_t, nvmlGpmSample_t};
use super::{Code, Device, NvmlError, call, check, zeroed};

impl Device {
    /// Whether the GPU has GPM: Hopper and newer.
    pub(crate) fn has_gpm(self) -> Result<bool, NvmlError> {
        let mut support = sys::nvmlGpmSupport_t {
            version: sys::NVML_GPM_SUPPORT_VERSION,
            isSupportedDevice: 0,
        };
        // SAFETY: it reads and writes the structure of that version.
        unsafe { call!(self.nvml(), nvmlGpmQueryDeviceSupport(self.handle(), &raw mut support)) }?;
        Ok(support.isSupportedDevice == 1)
    }
}

/// A request with room for more metrics than in the bindings: the structure grew from 210 of them in nvml.h 13.0 to 477
/// in 13.5 (`NVML_GPM_METRIC_MAX`) while its version stayed 1.
#[repr(C)]
struct Request {
    known: sys::nvmlGpmMetricsGet_t,
    _more: [nvmlGpmMetric_t; 400],
}

/// A sample, freed on drop.
pub(crate) struct GpmSample {
    device: Device,
    handle: nvmlGpmSample_t,
}

// SAFETY: an opaque pointer of the library, which may be called by any thread.
unsafe impl Send for GpmSample {}

impl GpmSample {
    /// Allocates an empty sample.
    pub(crate) fn new(device: Device) -> Result<Self, NvmlError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: it writes one handle.
        unsafe { call!(device.nvml(), nvmlGpmSampleAlloc(&raw mut handle)) }?;
        if handle.is_null() {
            return Err(NvmlError {
                call: "nvmlGpmSampleAlloc",
                code: Code::Memory,
            });
        }
        Ok(Self { device, handle })
    }

    /// Takes the sample of the GPU or of a GPU instance of it.
    pub(crate) fn fill(&mut self, instance: Option<u32>) -> Result<(), NvmlError> {
        let (nvml, gpu) = (self.device.nvml(), self.device.handle());
        // SAFETY: both handles are the library's; an instance that is gone is an error.
        unsafe {
            match instance {
                None => call!(nvml, nvmlGpmSampleGet(gpu, self.handle)),
                Some(id) => call!(nvml, nvmlGpmMigSampleGet(gpu, id, self.handle)),
            }
        }
    }

    /// Metrics (`nvmlGpmMetricId_t`) between this sample and a later one, in the requested order; `None` if the GPU
    /// does not support one.
    pub(crate) fn metrics_until<const N: usize>(
        &self,
        later: &Self,
        ids: [u32; N],
    ) -> Result<[Option<f64>; N], NvmlError> {
        const {
            assert!(N <= 210, "more metrics than the request has room for");
        }
        let empty = nvmlGpmMetric_t {
            nvmlReturn: sys::nvmlReturn_enum_NVML_ERROR_UNKNOWN,
            ..zeroed()
        };
        let mut request = Request {
            known: sys::nvmlGpmMetricsGet_t {
                version: sys::NVML_GPM_METRICS_GET_VERSION,
                numMetrics: N as u32,
                sample1: self.handle,
                sample2: later.handle,
                metrics: [empty; _],
            },
            _more: [empty; _],
        };
        for (metric, id) in request.known.metrics.iter_mut().zip(ids) {
            metric.metricId = id;
        }
        let to: *mut Request = &raw mut request;
        // SAFETY: both samples are the library's, and it writes the metrics that are asked for; there is room for all.
        unsafe { call!(self.device.nvml(), nvmlGpmMetricsGet(to.cast())) }?;
        let metrics = request.known.metrics;
        Ok(std::array::from_fn(|at| {
            check("nvmlGpmMetricsGet", metrics[at].nvmlReturn)
                .ok()
                .map(|()| metrics[at].value)
        }))
    }
}

impl Drop for GpmSample {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's and used no more.
        let freed = unsafe { call!(self.device.nvml(), nvmlGpmSampleFree(self.handle)) };
        if let Err(error) = freed {
            tracing::debug!(%error, "a sample of the GPU was not freed");
        }
    }
}
