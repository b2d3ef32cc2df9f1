//! XIDs: faults that the driver reports as events, counted since the agent watches them.

use crate::key;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::features;
use super::mig;
use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::gpus::Gpus;
use crate::nvml::{Device, Xid, XidEvents};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Timestamp};

const FIELD: &str = "xid_events";
/// Limit of events of one GPU in one reading. Further ones are read in the next: the driver keeps them.
const MOST_EVENTS: usize = 4096;
/// Limit of totals: GPUs times codes times instances.
const MOST_TOTALS: usize = 256;
/// Limit of handles that are remembered.
const MOST_HANDLES: usize = 1024;

/// Codes that are counted from 0 for every GPU: those on which people alert. A counter that appears with its first event
/// hides that event from a rate.
const COMMON: [i64; 16] = [13, 31, 43, 45, 48, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140];

/// Key of a count: the GPU, the code, and the affected instances.
type Fault = (Arc<str>, i64, Option<u32>, Option<u32>);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Total {
    count: i64,
    last: Timestamp,
}

/// Events of a GPU since it is watched.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Watched {
    count: i64,
    since: Timestamp,
}

/// State for the next process.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Carried {
    watched: Vec<(Arc<str>, Watched)>,
    totals: Vec<(Fault, Total)>,
}

/// Counts XIDs. Each GPU has its own event set, so that a lost one does not hide the others' events.
#[derive(Default)]
pub(super) struct Events {
    sets: HashMap<Arc<str>, XidEvents>,
    /// GPU of each handle that the library gave, for the events of one that is lost.
    handles: HashMap<usize, Arc<str>>,
    /// Kept when the GPU is lost, as the totals by code: an XID is often its last event.
    watched: BTreeMap<Arc<str>, Watched>,
    totals: BTreeMap<Fault, Total>,
    /// GPUs that are watched since the begin of this pass.
    fresh: BTreeSet<Arc<str>>,
}

impl Topic for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    /// Before all other topics: XIDs explain later hangs.
    fn begin(&mut self, gpus: &Gpus, recorder: &mut Recorder) {
        if self.handles.len() > MOST_HANDLES {
            self.handles.clear();
        }
        let current = gpus.iter().filter_map(|gpu| Some((gpu.device?.key(), &gpu.uuid)));
        self.handles.extend(current.map(|(key, id)| (key, Arc::clone(id))));
        let watched: Vec<Arc<str>> = self.sets.keys().cloned().collect();
        for uuid in watched {
            self.drain(&uuid, gpus, recorder);
        }
        // Its handle is that of another GPU now, which has a set of its own.
        let handles = &self.handles;
        self.sets
            .retain(|uuid, events| handles.get(&events.key()).is_none_or(|current| current == uuid));
        recorder.now();
        for (uuid, watched) in &self.watched {
            // What happened to a GPU that is gone stays; one to which nothing happened is not counted any more.
            if watched.count > 0 || gpus.iter().any(|gpu| gpu.uuid == *uuid) {
                self.record(uuid, recorder);
            }
        }
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let uuid = Arc::clone(&gpu.uuid);
        if let Some(device) = gpu.device
            && self.sets.get(&uuid).is_some_and(|events| events.key() != device.key())
        {
            // The library has a new handle for it: it was reset or came back.
            self.sets.remove(&uuid);
        }
        if !self.sets.contains_key(&uuid)
            && let Some(set) = gpu.ask(FIELD, recorder, XidEvents::register)
        {
            let since = recorder.now();
            self.sets.insert(Arc::clone(&uuid), set);
            self.watch(&uuid, since);
        }
        let is_watched = self.sets.contains_key(&uuid);
        features::record_read(gpu, recorder, "xid", FIELD, is_watched);
    }

    /// GPUs that are new in this pass: their counters are 0 from the first reading on.
    fn finish(&mut self, recorder: &mut Recorder) {
        recorder.now();
        for uuid in std::mem::take(&mut self.fresh) {
            self.record(&uuid, recorder);
        }
    }

    fn carry(&self) -> Option<serde_json::Value> {
        let pairs = |(key, value): (&Arc<str>, &Watched)| (Arc::clone(key), *value);
        let carried = Carried {
            watched: self.watched.iter().map(pairs).collect(),
            totals: self.totals.iter().map(|(key, value)| (key.clone(), *value)).collect(),
        };
        (!self.watched.is_empty())
            .then(|| serde_json::to_value(carried).ok())
            .flatten()
    }

    fn restore(&mut self, carried: serde_json::Value) {
        let carried: Carried = serde_json::from_value(carried).unwrap_or_default();
        self.watched = carried.watched.into_iter().collect();
        self.totals = carried.totals.into_iter().take(MOST_TOTALS).collect();
    }
}

impl Events {
    fn watch(&mut self, uuid: &Arc<str>, since: Timestamp) {
        if !self.watched.contains_key(uuid) {
            self.watched.insert(Arc::clone(uuid), Watched { count: 0, since });
            self.fresh.insert(Arc::clone(uuid));
        }
    }

    /// The counters of one GPU.
    fn record(&self, uuid: &Arc<str>, recorder: &mut Recorder) {
        let Some(watched) = self.watched.get(uuid) else { return };
        let of_gpu = Attributes::new([(key::HW_ID, Arc::clone(uuid).into())]);
        recorder.since(watched.since, &nvidia_parts::XID_EVENTS, of_gpu.clone(), watched.count);
        let counted = |label: &Attributes, count: i64, recorder: &mut Recorder| {
            let kind = [(key::HW_TYPE, "gpu".into()), (key::ERROR_TYPE, "xid".into())];
            recorder.since(watched.since, &hw::ERRORS, label.with(kind), count);
        };
        let from = |xid| (Arc::clone(uuid), xid, None, None);
        let mut without_events: BTreeSet<i64> = COMMON.into();
        for ((_, xid, gpu, compute), total) in self.totals.range(from(i64::MIN)..=from(i64::MAX)) {
            let label = of_gpu.with(mig::ids(*gpu, *compute).chain([(key::NVIDIA_XID, (*xid).into())]));
            counted(&label, total.count, recorder);
            let seconds = total.last.unix_nanos() as f64 / 1e9;
            recorder.gauge(&nvidia_parts::XID_LAST_SEEN, &label, [], seconds);
            if gpu.is_none() {
                without_events.remove(xid);
            }
        }
        for xid in without_events {
            counted(&of_gpu.with([(key::NVIDIA_XID, xid.into())]), 0, recorder);
        }
    }

    /// Reads the events of the set of that GPU, even if it is lost by now.
    fn drain(&mut self, uuid: &Arc<str>, gpus: &Gpus, recorder: &mut Recorder) {
        for _ in 0..MOST_EVENTS {
            let Some(set) = self.sets.get(uuid) else { return };
            match set.next() {
                Ok(Some(event)) => self.count(uuid, event, gpus, recorder),
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

    /// Counts an event of the GPU that it names.
    fn count(&mut self, of_set: &Arc<str>, event: Xid, gpus: &Gpus, recorder: &mut Recorder) {
        let now = recorder.now();
        let uuid = match event.device {
            Some(device) => self.find(device, gpus),
            None => Some(Arc::clone(of_set)),
        };
        let Some(uuid) = uuid else {
            recorder.skip(format!("{FIELD}.unknown_gpu"));
            return;
        };
        let gpu = gpus.iter().find(|gpu| gpu.uuid == uuid);
        let (instance, compute) = gpu.map_or((None, None), |gpu| instances(gpu, event));
        self.watch(&uuid, now);
        if let Some(watched) = self.watched.get_mut(&uuid) {
            watched.count += 1;
        }
        let fault = (uuid, event.code, instance, compute);
        if self.totals.len() >= MOST_TOTALS && !self.totals.contains_key(&fault) {
            recorder.skip("xid_series_limit");
            return;
        }
        let total = self.totals.entry(fault).or_insert(Total { count: 0, last: now });
        total.count += 1;
        total.last = now;
    }

    /// Id of the GPU with that handle: one of this pass, else one that had it before it was lost, else the one that the
    /// library describes.
    fn find(&self, device: Device, gpus: &Gpus) -> Option<Arc<str>> {
        if let Some(uuid) = self.handles.get(&device.key()) {
            return Some(Arc::clone(uuid));
        }
        let id = |gpu: &Gpu| Arc::clone(&gpu.uuid);
        let pci = device.pci().ok();
        if let Some(gpu) = gpus.iter().find(|gpu| pci.is_some() && gpu.pci == pci) {
            return Some(id(gpu));
        }
        let reported: Arc<str> = device.uuid().ok()??.into();
        let mut same = gpus.iter().filter(|gpu| gpu.reported.as_ref() == Some(&reported));
        match (same.next(), same.next()) {
            (Some(gpu), None) => Some(id(gpu)),
            (None, _) => Some(reported),
            (Some(_), Some(_)) => None,
        }
    }
}

/// Ids of the affected instances. Without MIG an id is meaningless, and 0 may stand for none.
fn instances(gpu: &Gpu, event: Xid) -> (Option<u32>, Option<u32>) {
    let ids = (event.gpu_instance, event.compute_instance);
    let has_first = gpu.instances.as_ref().is_some_and(|all| all.contains(&0));
    match ids {
        _ if !gpu.is_mig => (None, None),
        (None, _) => (None, None),
        (Some(0), Some(0)) if !has_first => (None, None),
        ids => ids,
    }
}
