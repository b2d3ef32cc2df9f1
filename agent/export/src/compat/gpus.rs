//! NVIDIA GPUs and their processes, collected from the series.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::names::{attribute, instrument};
use accelscope_core::metric::{Attributes, Series, Value, key};

/// `agent.sampler` of the sampler that reads the GPUs.
const SAMPLER: &str = "nvidia";
/// `agent.outcome` of its run where there is no driver.
const FOUND_NOTHING: &str = "nothing_here";

/// A GPU with its readings.
#[derive(Debug, Default)]
pub(super) struct Gpu<'a> {
    /// Index of `nvidia-smi`.
    pub(super) index: i64,
    pub(super) uuid: &'a str,
    pub(super) model: &'a str,
    /// Bytes.
    pub(super) memory_used: Option<f64>,
    /// Bytes, including the reserved ones.
    pub(super) memory_total: Option<f64>,
    /// Bytes.
    pub(super) memory_reserved: Option<f64>,
    /// 0 to 1.
    pub(super) utilization: Option<f64>,
    /// Degrees Celsius.
    pub(super) temperature: Option<f64>,
    /// Watts.
    pub(super) power: Option<f64>,
    /// Watts: the configured limit, else the enforced one.
    pub(super) power_limit: Option<f64>,
    /// Whether it has a reading: one that is lost or hangs is described only.
    is_read: bool,
    /// Number of processes that the driver lists, of any kind: without it a GPU is not known to be idle.
    listed: Option<usize>,
    /// Ids of those that have series: a limit may leave the others out.
    described: HashSet<i64>,
    has_graphics: bool,
    /// Bytes of each GPU instance, by its id.
    instance_memory: HashMap<i64, f64>,
    /// Compute processes, MPS clients included, ordered by id: the replaced tools queried `nvidia-smi` for compute
    /// processes only.
    pub(super) processes: Vec<Process<'a>>,
}

/// A process on one GPU, or on one of its instances.
#[derive(Debug, Default)]
pub(super) struct Process<'a> {
    pub(super) pid: i64,
    /// Ids of the GPU and compute instance.
    pub(super) instance: (Option<i64>, Option<i64>),
    pub(super) command: Option<&'a str>,
    pub(super) pod: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
    pub(super) container: Option<&'a str>,
    /// Bytes.
    pub(super) memory: Option<f64>,
    /// 0 to 1.
    pub(super) utilization: Option<f64>,
    /// Seconds since the Unix epoch.
    pub(super) start: Option<f64>,
    is_graphics: bool,
    /// Whether the driver lists it: one that has a utilization only is not part of the driver's count.
    is_listed: bool,
}

/// The GPUs of a node.
#[derive(Debug, Default)]
pub(super) struct Gpus<'a> {
    /// Every GPU that has a `nvidia.device.info`, ordered by index.
    pub(super) all: Vec<Gpu<'a>>,
    /// Number of GPUs that the driver lists.
    listed: Option<usize>,
    /// Whether every look so far found no driver.
    is_without_driver: bool,
}

impl Gpus<'_> {
    /// Number of GPUs; `None` while the driver does not answer for any of them. A node without GPUs has none either.
    pub(super) fn count(&self) -> Option<usize> {
        let answers = self.all.iter().any(|gpu| gpu.is_read);
        answers.then(|| self.listed.unwrap_or(0).max(self.all.len()))
    }

    /// As [`count`](Self::count), and 0 where it is known that there is none: the driver lists none, or was never there.
    pub(super) fn count_or_none(&self) -> Option<usize> {
        let is_known = self.listed.map_or(self.is_without_driver, |listed| listed == 0);
        self.count().or_else(|| (self.all.is_empty() && is_known).then_some(0))
    }

    /// Whether all GPUs are in [`all`](Self::all): a driver that is slow or hangs answers for some of them first.
    pub(super) fn are_complete(&self) -> bool {
        self.count() == Some(self.all.len())
    }

    /// Whether the processes of every GPU are known: otherwise their total is not.
    pub(super) fn have_processes(&self) -> bool {
        self.are_complete() && self.all.iter().all(|gpu| gpu.process_count().is_some())
    }
}

/// The GPUs that the series describe.
pub(super) fn gpus(series: &[Series]) -> Gpus<'_> {
    let mut listed = None;
    let (mut looks, mut looks_in_vain) = (0.0, 0.0);
    let mut found: HashMap<&str, Gpu<'_>> = HashMap::new();
    let live = || series.iter().filter(|series| series.value.is_some());
    for info in live().filter(|series| series.instrument.name == instrument::NVIDIA_DEVICE_INFO) {
        let attributes = &*info.attributes;
        let (Some(uuid), Some(index)) = (attributes.text(key::HW_ID), attributes.int(attribute::NVIDIA_GPU_INDEX))
        else {
            continue;
        };
        let gpu = Gpu {
            index,
            uuid,
            model: attributes.text(key::HW_MODEL).unwrap_or_default(),
            ..Gpu::default()
        };
        found.insert(uuid, gpu);
    }
    let mut processes = BTreeMap::new();
    for one in live() {
        let number = one.value.as_ref().and_then(Value::as_f64);
        match (one.instrument.name, number) {
            (instrument::NVIDIA_DEVICES, Some(count)) => listed = Some(count as usize),
            (instrument::SAMPLER_RUNS, Some(runs)) if one.attributes.text(key::AGENT_SAMPLER) == Some(SAMPLER) => {
                looks += runs;
                if one.attributes.text(key::AGENT_OUTCOME) == Some(FOUND_NOTHING) {
                    looks_in_vain += runs;
                }
            }
            _ => {}
        }
        let uuid = one.attributes.text(key::HW_ID);
        if let (Some(number), Some((uuid, gpu))) = (number, uuid.and_then(|uuid| Some((uuid, found.get_mut(uuid)?)))) {
            gpu.add(one, number);
            add_process(&mut processes, uuid, one, number);
        }
    }
    for ((uuid, ..), process) in processes {
        let Some(gpu) = found.get_mut(uuid) else { continue };
        if process.is_listed {
            gpu.described.insert(process.pid);
        }
        if process.is_graphics {
            gpu.has_graphics = true;
        } else {
            gpu.processes.push(process);
        }
    }
    let mut all: Vec<_> = found.into_values().collect();
    all.sort_unstable_by_key(|gpu| gpu.index);
    Gpus {
        all,
        listed,
        is_without_driver: looks_in_vain > 0.0 && looks_in_vain >= looks,
    }
}

impl Gpu<'_> {
    /// Memory in bytes that is available to the process: that of its GPU instance, else of the GPU.
    pub(super) fn memory_of(&self, process: &Process<'_>) -> Option<f64> {
        match process.instance.0 {
            Some(instance) => self.instance_memory.get(&instance).copied(),
            None => self.memory_total,
        }
    }

    /// Number of processes on it; `None` while that is unknown. Where some have no series, the driver's count decides, unless
    /// it includes processes that only render.
    pub(super) fn process_count(&self) -> Option<usize> {
        match self.listed? {
            _ if self.has_all_processes() => Some(self.processes.len()),
            _ if self.has_graphics => None,
            listed => Some(listed),
        }
    }

    /// Number of processes on each of its instances that have any, or on the GPU.
    pub(super) fn process_counts(&self) -> BTreeMap<(Option<i64>, Option<i64>), usize> {
        let mut counts = BTreeMap::new();
        let has_instances = !self.instance_memory.is_empty() || self.processes.iter().any(Process::is_of_instance);
        match self.process_count() {
            // Those without series may be on any instance.
            Some(_) if has_instances && !self.has_all_processes() => {}
            Some(_) if has_instances && !self.processes.is_empty() => {
                for process in &self.processes {
                    *counts.entry(process.instance).or_default() += 1;
                }
            }
            Some(count) => {
                counts.insert((None, None), count);
            }
            None => {}
        }
        counts
    }

    fn has_all_processes(&self) -> bool {
        self.listed.is_some_and(|listed| self.described.len() >= listed)
    }

    fn add(&mut self, series: &Series, number: f64) {
        let attributes = &*series.attributes;
        let is = |key, wanted| attributes.text(key) == Some(wanted);
        match series.instrument.name {
            instrument::GPU_MEMORY_USAGE => self.memory_used = Some(number),
            instrument::GPU_MEMORY_LIMIT => self.memory_total = Some(number),
            instrument::NVIDIA_PROCESSES => self.listed = Some(number as usize),
            instrument::NVIDIA_MEMORY_RESERVED => self.memory_reserved = Some(number),
            instrument::NVIDIA_MIG_MEMORY_LIMIT => {
                let instance = attributes.int(attribute::NVIDIA_GPU_INSTANCE);
                self.instance_memory.extend(instance.map(|instance| (instance, number)));
            }
            instrument::GPU_UTILIZATION if is(key::HW_GPU_TASK, "general") => self.utilization = Some(number),
            instrument::TEMPERATURE if is(key::HW_SENSOR_LOCATION, "gpu") => self.temperature = Some(number),
            instrument::POWER => self.power = Some(number),
            instrument::NVIDIA_POWER_LIMIT if is(attribute::NVIDIA_POWER_LIMIT, "configured") => {
                self.power_limit = Some(number);
            }
            instrument::NVIDIA_POWER_LIMIT if is(attribute::NVIDIA_POWER_LIMIT, "enforced") => {
                self.power_limit = self.power_limit.or(Some(number));
            }
            _ => return,
        }
        self.is_read = true;
    }
}

impl Process<'_> {
    fn is_of_instance(&self) -> bool {
        self.instance.0.is_some()
    }
}

type ProcessKey<'a> = (&'a str, (Option<i64>, Option<i64>), i64);

fn add_process<'a>(
    processes: &mut BTreeMap<ProcessKey<'a>, Process<'a>>,
    uuid: &'a str,
    series: &'a Series,
    number: f64,
) {
    let attributes = &*series.attributes;
    let is_one = matches!(
        series.instrument.name,
        instrument::NVIDIA_PROCESS_INFO
            | instrument::PROCESS_MEMORY_USAGE
            | instrument::PROCESS_UTILIZATION
            | instrument::PROCESS_START_TIME
    );
    let (true, Some(pid)) = (is_one, attributes.int(key::PROCESS_PID)) else {
        return;
    };
    let instance = instance(attributes);
    let process = processes.entry((uuid, instance, pid)).or_insert_with(|| Process {
        pid,
        instance,
        command: attributes.text(key::PROCESS_EXECUTABLE_NAME),
        pod: attributes.text(key::K8S_POD_NAME),
        namespace: attributes.text(key::K8S_NAMESPACE_NAME),
        container: attributes.text(key::K8S_CONTAINER_NAME),
        ..Process::default()
    });
    process.is_listed |= series.instrument.name != instrument::PROCESS_UTILIZATION;
    match series.instrument.name {
        instrument::NVIDIA_PROCESS_INFO => {
            process.is_graphics = attributes.text(attribute::NVIDIA_PROCESS_TYPE) == Some("graphics");
        }
        instrument::PROCESS_MEMORY_USAGE => process.memory = Some(number),
        instrument::PROCESS_START_TIME => process.start = Some(number),
        instrument::PROCESS_UTILIZATION if attributes.text(key::HW_GPU_TASK) == Some("general") => {
            process.utilization = Some(number);
        }
        _ => {}
    }
}

fn instance(attributes: &Attributes) -> (Option<i64>, Option<i64>) {
    (
        attributes.int(attribute::NVIDIA_GPU_INSTANCE),
        attributes.int(attribute::NVIDIA_COMPUTE_INSTANCE),
    )
}
