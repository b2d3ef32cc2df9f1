//! XIDs: faults that the driver reports as events, counted since the agent watches them.

use crate::key;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::features;
use super::mig;
use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::gpus::Gpus;
use crate::nvml::{Xid, XidEvents};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Point, Timestamp};

const FIELD: &str = "xid_events";
/// Limit of events of one GPU in one reading. Further ones are read in the next: the driver keeps them.
const MOST_EVENTS: usize = 4096;
/// Limit of totals: GPUs times codes times instances.
const MOST_TOTALS: usize = 256;

/// Key of a count: the GPU, the code, and the affected instances.
type Fault = (Arc<str>, i64, Option<u32>, Option<u32>);

#[derive(Debug, Clone, Copy)]
struct Total {
    count: i64,
    last: Timestamp,
    start: Timestamp,
}

/// Counts XIDs. Each GPU has its own event set, so that a lost one does not hide the others' events.
#[derive(Default)]
pub(super) struct Events {
    sets: HashMap<Arc<str>, XidEvents>,
    /// Time since which each GPU is watched.
    since: HashMap<Arc<str>, Timestamp>,
    /// Kept when the GPU is lost: an XID is often its last event.
    totals: BTreeMap<Fault, Total>,
}

impl Topic for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    /// Before all other topics: XIDs explain later hangs.
    fn begin(&mut self, _gpus: &Gpus, recorder: &mut Recorder) {
        let watched: Vec<Arc<str>> = self.sets.keys().cloned().collect();
        for uuid in watched {
            self.drain(&uuid, recorder);
        }
        let time = recorder.now();
        for ((uuid, xid, gpu, compute), total) in &self.totals {
            let label = Attributes::new(
                mig::ids(*gpu, *compute)
                    .chain([(key::HW_ID, Arc::clone(uuid).into()), (key::NVIDIA_XID, (*xid).into())]),
            );
            let count = [(key::HW_TYPE, "gpu".into()), (key::ERROR_TYPE, "xid".into())];
            recorder.push(Point {
                start: Some(total.start),
                ..Point::new(&hw::ERRORS, label.with(count), total.count, time)
            });
            let last = total.last.unix_nanos() as f64 / 1e9;
            recorder.gauge(&nvidia_parts::XID_LAST_SEEN, &label, [], last);
        }
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let uuid = Arc::clone(&gpu.uuid);
        if let Some(device) = gpu.device
            && self.sets.get(&uuid).is_some_and(|events| !events.are_of(device))
        {
            // The library has a new handle for it: it was reset or came back.
            self.sets.remove(&uuid);
        }
        if !self.sets.contains_key(&uuid)
            && let Some(set) = gpu.ask(FIELD, recorder, XidEvents::register)
        {
            let now = recorder.now();
            self.sets.insert(Arc::clone(&uuid), set);
            self.since.entry(Arc::clone(&uuid)).or_insert(now);
        }
        let is_watched = self.sets.contains_key(&uuid);
        features::record_read(gpu, recorder, "xid", FIELD, is_watched);
    }

    fn carry(&self) -> Option<serde_json::Value> {
        let totals = self.totals.iter();
        let totals: Vec<_> = totals
            .map(|(fault, total)| (fault, total.count, total.last, total.start))
            .collect();
        (!totals.is_empty())
            .then(|| serde_json::to_value(totals).ok())
            .flatten()
    }

    fn restore(&mut self, carried: serde_json::Value) {
        let carried: Vec<(Fault, i64, Timestamp, Timestamp)> = serde_json::from_value(carried).unwrap_or_default();
        for (fault, count, last, start) in carried.into_iter().take(MOST_TOTALS) {
            self.totals.insert(fault, Total { count, last, start });
        }
    }
}

impl Events {
    /// Reads the events of that GPU, even if it is lost by now.
    fn drain(&mut self, uuid: &Arc<str>, recorder: &mut Recorder) {
        for _ in 0..MOST_EVENTS {
            let Some(set) = self.sets.get(uuid) else { return };
            match set.next() {
                Ok(Some(event)) => self.count(uuid, event, recorder),
                Ok(None) => return,
                Err(error) => {
                    recorder.skip(format!("{FIELD}.{}", error.code.as_str()));
                    if error.code.ends_process() {
                        recorder.fail(error);
                    }
                    // A lost GPU's set may have events later; any other failure leaves it undefined.
                    if !error.code.is_lost() {
                        self.sets.remove(uuid);
                    }
                    return;
                }
            }
        }
        recorder.skip(format!("{FIELD}.too_many"));
    }

    fn count(&mut self, uuid: &Arc<str>, event: Xid, recorder: &mut Recorder) {
        let now = recorder.now();
        let fault = (Arc::clone(uuid), event.code, event.gpu_instance, event.compute_instance);
        if self.totals.len() >= MOST_TOTALS && !self.totals.contains_key(&fault) {
            recorder.skip("xid_series_limit");
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
