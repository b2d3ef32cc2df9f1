//! Processes on a GPU, with their memory and utilization.

mod busy;
pub(crate) mod namespace;

use crate::key;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use busy::{Busy, Share};
use namespace::Namespace;

use super::features;
use super::mig::{self, instances};
use crate::catalogue::nvidia_parts;
use crate::gpu::Gpu;
use crate::nvml::{ListedProcess, ProcessList};
use crate::recorder::Recorder;
use crate::topic::Topic;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes as Proc;
use accelscope_core::metric::catalogue::accel;
use accelscope_core::metric::{Attribute, Attributes, Instrument, Owner, Point, ProcessKey, Timestamp, Value};

const LISTS: [(ProcessList, &str, &str); 3] = [
    (ProcessList::Mps, "mps", "processes_mps"),
    (ProcessList::Compute, "compute", "processes_compute"),
    (ProcessList::Graphics, "graphics", "processes_graphics"),
];

/// Units for which a process has a utilization, in the order of [`Share::Known`].
const UNITS: [&str; 4] = ["general", "memory", "encoder", "decoder"];

/// A process in one instance of a GPU, or in all of it.
type Place = (u32, Option<u32>, Option<u32>);

/// A process in one or several lists.
#[derive(Debug, Default)]
struct Use {
    kinds: Vec<&'static str>,
    memory: Option<u64>,
}

/// Reads the lists of processes and their utilization samples.
pub(super) struct Processes {
    proc: Proc,
    namespace: Namespace,
    busy: HashMap<Arc<str>, Busy>,
    starts: HashMap<ProcessKey, f64>,
    /// Whether there is any GPU in this pass.
    is_used: bool,
}

impl Processes {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            proc: Proc::new(roots),
            namespace: Namespace::detect(roots),
            busy: HashMap::new(),
            starts: HashMap::new(),
            is_used: false,
        }
    }

    /// The process, if it is visible. A kernel thread never uses a GPU: its id then belongs to another namespace.
    fn find(&self, pid: u32) -> Option<ProcessKey> {
        if self.namespace == Namespace::Foreign {
            return None;
        }
        self.proc.user_key(pid).ok().flatten()
    }

    fn started(&mut self, process: ProcessKey) -> Option<f64> {
        if let Some(known) = self.starts.get(&process) {
            return Some(*known);
        }
        // Computed once: the boot time changes slightly with the clock.
        let seconds = self.proc.started(process).ok()?.unix_nanos() / 10_000_000;
        let seconds = seconds as f64 / 100.0;
        self.starts.insert(process, seconds);
        Some(seconds)
    }
}

impl Topic for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn read(&mut self, gpu: &mut Gpu, recorder: &mut Recorder) {
        let Some((uses, is_complete)) = uses(gpu, recorder) else {
            return;
        };
        self.is_used = true;
        let now = recorder.now();
        let micros = now.unix_nanos() / 1000;
        let busy = self.busy.entry(Arc::clone(&gpu.uuid)).or_default();
        let since = busy.since(micros);
        let samples = gpu.ask("process_utilization", recorder, |device| device.process_samples(since));
        features::record_read(
            gpu,
            recorder,
            "process_utilization",
            "process_utilization",
            samples.is_some(),
        );
        let shares = samples.map(|samples| busy.take(&samples, micros));

        let listed: HashSet<u32> = uses.keys().map(|(pid, ..)| *pid).collect();
        let mut hidden: HashSet<u32> = HashSet::new();
        for ((pid, gpu_instance, compute_instance), one) in &uses {
            let process = self.find(*pid);
            if process.is_none() {
                hidden.insert(*pid);
            }
            let mut of = Of {
                gpu,
                recorder,
                time: now,
                process,
                pid: *pid,
                place: mig::ids(*gpu_instance, *compute_instance).collect(),
            };
            match one.memory {
                Some(bytes) => of.push(&accel::PROCESS_MEMORY_USAGE, [], bytes.cast_signed().into()),
                None => of.recorder.skip("process_memory.not_available"),
            }
            let kind = (key::NVIDIA_PROCESS_TYPE, one.kinds.join("+").into());
            of.push(&nvidia_parts::PROCESS_INFO, [kind], 1i64.into());
            if let Some(started) = process.and_then(|process| self.started(process)) {
                of.push(&accel::PROCESS_START_TIME, [], started.into());
            }
            // Listed processes without samples were idle.
            if let Some(shares) = &shares {
                of.utilization(shares.get(pid).copied().unwrap_or(Share::Known([0.0; 4])));
            }
        }
        // Outside the node's namespace, the lists lack processes that have samples.
        for (pid, share) in shares.iter().flatten().filter(|(pid, _)| !listed.contains(pid)) {
            let process = self.find(*pid);
            if process.is_none() || self.namespace != Namespace::Node {
                hidden.insert(*pid);
                continue;
            }
            Of {
                gpu,
                recorder,
                time: now,
                process,
                pid: *pid,
                place: Vec::new(),
            }
            .utilization(*share);
        }
        if let Some(busy) = self.busy.get_mut(&gpu.uuid) {
            busy.keep(|pid| listed.contains(&pid));
        }
        // A part of the processes is not their number.
        if !is_complete {
            return;
        }
        recorder.gauge(&nvidia_parts::PROCESSES, &gpu.label, [], listed.len() as i64);
        recorder.gauge(&nvidia_parts::PROCESSES_HIDDEN, &gpu.label, [], hidden.len() as i64);
    }

    fn finish(&mut self, recorder: &mut Recorder) {
        let proc = &self.proc;
        self.starts.retain(|process, _| proc.is_alive(*process));
        if !std::mem::take(&mut self.is_used) {
            return;
        }
        recorder.now();
        let is_node = i64::from(self.namespace == Namespace::Node);
        recorder.gauge(&nvidia_parts::HOST_PID, &Attributes::empty(), [], is_node);
    }
}

/// Points of one process on one GPU.
struct Of<'a> {
    gpu: &'a Gpu,
    recorder: &'a mut Recorder,
    time: Timestamp,
    process: Option<ProcessKey>,
    pid: u32,
    place: Vec<Attribute>,
}

impl Of<'_> {
    fn push(&mut self, instrument: &'static Instrument, more: impl IntoIterator<Item = Attribute>, value: Value) {
        // A hidden process is unknown on the node: only its id is published.
        let pid = self.process.is_none().then(|| (key::PROCESS_PID, self.pid.into()));
        let more = self.place.iter().cloned().chain(pid).chain(more);
        self.recorder.push(Point {
            owner: self.process.map(|process| Owner::Process {
                process,
                always_pid: true,
            }),
            ..Point::new(instrument, self.gpu.label.with(more), value, self.time)
        });
    }

    fn utilization(&mut self, share: Share) {
        match share {
            Share::Known(shares) => {
                for (unit, share) in UNITS.iter().zip(shares) {
                    let unit = (key::HW_GPU_TASK, (*unit).into());
                    self.push(&accel::PROCESS_UTILIZATION, [unit], share.into());
                }
            }
            Share::Garbage => self.recorder.skip("process_utilization.garbage"),
        }
    }
}

/// Processes on the GPU, and whether they are all: a list may fail for a moment. `None` if no list could be read.
fn uses(gpu: &mut Gpu, recorder: &mut Recorder) -> Option<(BTreeMap<Place, Use>, bool)> {
    let mut uses = BTreeMap::new();
    let mut is_read = false;
    let mut is_complete = true;
    for (list, kind, field) in LISTS {
        let listed = gpu.ask(field, recorder, |device| device.processes(list));
        is_read |= listed.is_some();
        is_complete &= listed.is_some() || gpu.refuses(field);
        for process in listed.into_iter().flatten() {
            // Some libraries return instance 0 for a GPU without instances.
            let instances = gpu.is_mig.then_some((process.gpu_instance, process.compute_instance));
            let (gpu_instance, compute_instance) = instances.unwrap_or_default();
            let process = ListedProcess {
                gpu_instance,
                compute_instance,
                ..process
            };
            note(&mut uses, kind, process);
        }
    }
    // The GPU's own handle lists its instances' processes only for privileged users (nvml.h 13.5).
    if gpu.is_mig && uses.is_empty() {
        for instance in instances(gpu, recorder) {
            for (list, kind, _) in LISTS {
                let listed = instance.ask(gpu, "processes_mig", recorder, |device| match device.processes(list) {
                    Err(error) if error.code.is_for_good() => Ok(None),
                    other => other.map(Some),
                });
                let listed = listed.flatten();
                is_read |= listed.is_some();
                for process in listed.into_iter().flatten() {
                    let process = ListedProcess {
                        gpu_instance: process.gpu_instance.or(Some(instance.gpu_instance)),
                        compute_instance: process.compute_instance.or(instance.compute_instance),
                        ..process
                    };
                    note(&mut uses, kind, process);
                }
            }
        }
    }
    is_read.then_some((uses, is_complete))
}

/// A process in two lists is one process; both lists contain its memory.
fn note(uses: &mut BTreeMap<Place, Use>, kind: &'static str, process: ListedProcess) {
    let place = (process.pid, process.gpu_instance, process.compute_instance);
    let one: &mut Use = uses.entry(place).or_default();
    if !one.kinds.contains(&kind) {
        one.kinds.push(kind);
    }
    one.memory = one.memory.max(process.memory);
}
