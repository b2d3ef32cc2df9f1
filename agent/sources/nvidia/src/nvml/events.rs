//! Event sets: XIDs, which are faults that the driver reports.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use super::sys::{self, nvmlEventSet_t};
use super::{Code, Device, NvmlError, OrOlder, call, zeroed};

const XID: u64 = sys::nvmlEventTypeXidCriticalError as u64;

/// An XID event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Xid {
    /// The affected GPU, which may be another than that of the set; `None` if the library does not report it.
    pub(crate) device: Option<Device>,
    /// The XID's number.
    pub(crate) code: i64,
    /// Ids of the affected instances. Some libraries report 0 for a GPU without instances.
    pub(crate) gpu_instance: Option<u32>,
    pub(crate) compute_instance: Option<u32>,
}

/// Limit of events of other types that are passed over at once.
const MOST_OTHERS: usize = 256;

/// Event set of one GPU that receives its XIDs, freed when it is dropped.
pub(crate) struct XidEvents {
    device: Device,
    handle: nvmlEventSet_t,
}

// SAFETY: an opaque number for the library, which may be called by any thread.
unsafe impl Send for XidEvents {}

impl XidEvents {
    /// Creates the set and registers the GPU's XIDs with it.
    pub(crate) fn register(device: Device) -> Result<Self, NvmlError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: it writes one handle.
        unsafe { call!(device.nvml(), nvmlEventSetCreate(&raw mut handle)) }?;
        // Freed when registering fails.
        let set = Self { device, handle };
        // SAFETY: both handles are the library's.
        unsafe {
            call!(
                device.nvml(),
                nvmlDeviceRegisterEvents(device.handle(), XID, set.handle)
            )
        }?;
        Ok(set)
    }

    /// Identifies the handle with which it was registered.
    pub(crate) fn key(&self) -> usize {
        self.device.key()
    }

    /// The next XID, without waiting for one.
    pub(crate) fn next(&self) -> Result<Option<Xid>, NvmlError> {
        for _ in 0..MOST_OTHERS {
            let mut data = sys::nvmlEventData_t {
                gpuInstanceId: u32::MAX,
                computeInstanceId: u32::MAX,
                ..zeroed()
            };
            let nvml = self.device.nvml();
            // SAFETY: the handle is the library's. The older function leaves the last two fields alone.
            let answer = unsafe {
                call!(nvml, nvmlEventSetWait_v2(self.handle, &raw mut data, 0))
                    .or_older(|| call!(nvml, nvmlEventSetWait(self.handle, &raw mut data, 0)))
            };
            match answer {
                Ok(()) if data.eventType & XID == 0 => {}
                Ok(()) => {
                    let instance = |id: u32| (id != u32::MAX).then_some(id);
                    let device = (!data.device.is_null()).then(|| Device::new(nvml, data.device));
                    return Ok(Some(Xid {
                        device,
                        code: data.eventData.cast_signed(),
                        gpu_instance: instance(data.gpuInstanceId),
                        compute_instance: instance(data.computeInstanceId),
                    }));
                }
                Err(error) if error.code == Code::Timeout => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Drop for XidEvents {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's and used no more.
        let freed = unsafe { call!(self.device.nvml(), nvmlEventSetFree(self.handle)) };
        if let Err(error) = freed {
            tracing::debug!(%error, "a set of events was not freed");
        }
    }
}
