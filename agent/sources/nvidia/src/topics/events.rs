//! XIDs: faults that the driver reports as events, counted from when they are watched.
#![expect(unsafe_code, reason = "a C library can be called in no other way")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::features;
use super::mig;
use crate::gpu::Gpu;
use crate::nvml::sys::{self, nvmlEventSet_t};
use crate::nvml::{Code, Device, NvmlError, OrOlder, call};
use crate::sheet::Sheet;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::{hw, nvidia_parts};
use accelscope_core::metric::{Attributes, Point, Timestamp, key};

const FIELD: &str = "xid_events";
const XID: u64 = sys::nvmlEventTypeXidCriticalError as u64;
/// Most events of one GPU in one reading. A GPU that reports more waits for the next: the driver keeps them.
const MOST_EVENTS: usize = 4096;
/// Most totals that are kept: GPUs times codes times instances.
const MOST_TOTALS: usize = 256;

/// What is counted apart: the GPU, the code, and the instances concerned.
type Fault = (Arc<str>, i64, Option<u32>, Option<u32>);

#[derive(Debug, Clone, Copy)]
struct Total {
    count: i64,
    last: Timestamp,
    start: Timestamp,
}

/// Counts XIDs. A set of events a GPU, so that one that is lost hides none of the others'.
#[derive(Default)]
pub(super) struct Events {
    sets: HashMap<Arc<str>, Set>,
    /// Since when each GPU was first watched.
    since: HashMap<Arc<str>, Timestamp>,
    /// Kept whatever becomes of the GPU: an XID is often the last that is heard of it.
    totals: BTreeMap<Fault, Total>,
}

impl Topic for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    /// First of all: XIDs are what one needs most when something hangs.
    fn begin(&mut self, sheet: &mut Sheet) {
        let watched: Vec<Arc<str>> = self.sets.keys().cloned().collect();
        for uuid in watched {
            self.drain(&uuid, sheet);
        }
        let time = sheet.now();
        for ((uuid, xid, gpu, compute), total) in &self.totals {
            let label = Attributes::new(
                mig::ids(*gpu, *compute)
                    .chain([(key::HW_ID, Arc::clone(uuid).into()), (key::NVIDIA_XID, (*xid).into())]),
            );
            let count = [(key::HW_TYPE, "gpu".into()), (key::ERROR_TYPE, "xid".into())];
            let point = |instrument, attributes: Attributes, value, start| Point {
                instrument,
                attributes: attributes.into(),
                owner: None,
                value,
                time,
                start,
            };
            sheet.push(point(
                &hw::ERRORS,
                label.with(count),
                total.count.into(),
                Some(total.start),
            ));
            let last = total.last.unix_nanos() as f64 / 1e9;
            sheet.push(point(&nvidia_parts::XID_LAST_SEEN, label, last.into(), None));
        }
    }

    fn read(&mut self, gpu: &mut Gpu, sheet: &mut Sheet) {
        let uuid = Arc::clone(&gpu.uuid);
        if let Some(device) = gpu.device
            && self
                .sets
                .get(&uuid)
                .is_some_and(|set| set.device.handle() != device.handle())
        {
            // It is another device to the library: it was reset or came back.
            self.sets.remove(&uuid);
        }
        if !self.sets.contains_key(&uuid)
            && let Some(set) = gpu.ask(FIELD, sheet, Set::watch)
        {
            let now = sheet.now();
            self.sets.insert(Arc::clone(&uuid), set);
            self.since.entry(Arc::clone(&uuid)).or_insert(now);
        }
        let is_watched = self.sets.contains_key(&uuid);
        features::tell(gpu, sheet, "xid", FIELD, is_watched);
    }

    fn carry(&self) -> Option<serde_json::Value> {
        let totals: Vec<_> = self
            .totals
            .iter()
            .map(|((uuid, xid, gpu, compute), total)| {
                let (last, start) = (total.last.unix_nanos(), total.start.unix_nanos());
                serde_json::json!([&**uuid, xid, gpu, compute, total.count, last, start])
            })
            .collect();
        (!totals.is_empty()).then_some(totals.into())
    }

    fn restore(&mut self, carried: serde_json::Value) {
        type Carried = (String, i64, Option<u32>, Option<u32>, i64, u64, u64);
        let carried: Vec<Carried> = serde_json::from_value(carried).unwrap_or_default();
        for (uuid, xid, gpu, compute, count, last, start) in carried.into_iter().take(MOST_TOTALS) {
            let total = Total {
                count,
                last: Timestamp::from_unix_nanos(last),
                start: Timestamp::from_unix_nanos(start),
            };
            self.totals.insert((uuid.into(), xid, gpu, compute), total);
        }
    }
}

impl Events {
    /// Takes what has happened on that GPU, even if it is lost by now.
    fn drain(&mut self, uuid: &Arc<str>, sheet: &mut Sheet) {
        for _ in 0..MOST_EVENTS {
            let Some(set) = self.sets.get(uuid) else { return };
            match set.next() {
                Ok(Some(event)) => self.count(uuid, event, sheet),
                Ok(None) => return,
                Err(error) => {
                    sheet.skip(format!("{FIELD}.{}", error.code.as_str()));
                    if error.code.ends_process() {
                        sheet.fail(error);
                    }
                    // A lost GPU's set may still have something to tell later; any other failure leaves it undefined.
                    if !error.code.is_lost() {
                        self.sets.remove(uuid);
                    }
                    return;
                }
            }
        }
        sheet.skip(format!("{FIELD}.too_many"));
    }

    fn count(&mut self, uuid: &Arc<str>, event: Event, sheet: &mut Sheet) {
        let now = sheet.now();
        let fault = (Arc::clone(uuid), event.xid, event.gpu_instance, event.compute_instance);
        if self.totals.len() >= MOST_TOTALS && !self.totals.contains_key(&fault) {
            sheet.skip("xid_series_limit");
            return;
        }
        let start = self.since.get(uuid).copied().unwrap_or(now);
        let total = self.totals.entry(fault).or_insert(Total {
            count: 0,
            last: now,
            start,
        });
        total.count += 1;
        total.last = now;
    }
}

#[derive(Debug, Clone, Copy)]
struct Event {
    xid: i64,
    gpu_instance: Option<u32>,
    compute_instance: Option<u32>,
}

/// Events of one GPU.
struct Set {
    device: Device,
    handle: nvmlEventSet_t,
}

// SAFETY: an opaque number for the library, which may be called by any thread.
unsafe impl Send for Set {}

impl Set {
    fn watch(device: Device) -> Result<Self, NvmlError> {
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

    /// The next XID, without waiting for one.
    fn next(&self) -> Result<Option<Event>, NvmlError> {
        loop {
            let mut data = sys::nvmlEventData_t {
                device: std::ptr::null_mut(),
                eventType: 0,
                eventData: 0,
                gpuInstanceId: u32::MAX,
                computeInstanceId: u32::MAX,
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
                    return Ok(Some(Event {
                        xid: data.eventData.cast_signed(),
                        gpu_instance: instance(data.gpuInstanceId),
                        compute_instance: instance(data.computeInstanceId),
                    }));
                }
                Err(error) if error.code == Code::Timeout => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's and used no more.
        let freed = unsafe { call!(self.device.nvml(), nvmlEventSetFree(self.handle)) };
        if let Err(error) = freed {
            tracing::debug!(%error, "a set of events was not freed");
        }
    }
}
