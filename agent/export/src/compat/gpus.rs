//! NVIDIA's GPUs and their processes, gathered from the series.

use std::collections::{BTreeMap, HashMap};

use super::names::{attribute, instrument};
use accelscope_core::metric::{Attributes, Resource, Series, Value, key};

/// A GPU.
#[derive(Debug, Default)]
pub(super) struct Gpu<'a> {
    /// As `nvidia-smi` numbers them.
    pub(super) index: i64,
    pub(super) uuid: &'a str,
    pub(super) model: &'a str,
    /// Bytes.
    pub(super) memory_used: Option<f64>,
    /// Bytes, the reserved ones included.
    pub(super) memory_total: Option<f64>,
    /// Bytes.
    pub(super) memory_reserved: Option<f64>,
    /// 0 to 1.
    pub(super) utilization: Option<f64>,
    /// Degrees Celsius.
    pub(super) temperature: Option<f64>,
    /// Watts.
    pub(super) power: Option<f64>,
    /// Watts: what was configured, else what is enforced.
    pub(super) power_limit: Option<f64>,
    /// Whether its driver lists who uses it: one that is lost or hangs is not idle because nothing is known of it.
    pub(super) is_listed: bool,
    /// Bytes, of each GPU instance by its id.
    instance_memory: HashMap<i64, f64>,
    /// Those that compute, MPS' clients too, in the order of their ids. The replaced tools asked `nvidia-smi` for
    /// compute processes only.
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
    only_draws: bool,
}

/// Every GPU that tells of itself, in the order of their indices.
pub(super) fn gpus(series: &[Series]) -> Vec<Gpu<'_>> {
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
        let uuid = one.attributes.text(key::HW_ID);
        if let (Some(number), Some((uuid, gpu))) = (number, uuid.and_then(|uuid| Some((uuid, found.get_mut(uuid)?)))) {
            gpu.take(one, number);
            of_process(&mut processes, uuid, one, number);
        }
    }
    for ((uuid, ..), process) in processes {
        if process.only_draws {
            continue;
        }
        if let Some(gpu) = found.get_mut(uuid) {
            gpu.processes.push(process);
        }
    }
    let mut gpus: Vec<_> = found.into_values().collect();
    gpus.sort_by_key(|gpu| gpu.index);
    gpus
}

impl Gpu<'_> {
    /// Bytes that the process can have at most.
    pub(super) fn memory_of(&self, process: &Process<'_>) -> Option<f64> {
        match process.instance.0 {
            Some(instance) => self.instance_memory.get(&instance).copied(),
            None => self.memory_total,
        }
    }

    fn take(&mut self, series: &Series, number: f64) {
        let attributes = &*series.attributes;
        let is = |key, wanted| attributes.text(key) == Some(wanted);
        match series.instrument.name {
            instrument::GPU_MEMORY_USAGE => self.memory_used = Some(number),
            instrument::GPU_MEMORY_LIMIT => self.memory_total = Some(number),
            instrument::NVIDIA_PROCESSES => self.is_listed = true,
            instrument::NVIDIA_MEMORY_RESERVED => self.memory_reserved = Some(number),
            instrument::NVIDIA_MIG_MEMORY_LIMIT => {
                let instance = attributes.int(attribute::NVIDIA_GPU_INSTANCE);
                self.instance_memory.extend(instance.map(|instance| (instance, number)));
            }
            instrument::GPU_UTILIZATION if is(key::HW_GPU_TASK, "general") => self.utilization = Some(number),
            instrument::TEMPERATURE if is(key::HW_SENSOR_LOCATION, "gpu") => self.temperature = Some(number),
            instrument::POWER => self.power = Some(number),
            instrument::NVIDIA_POWER_LIMIT if is(attribute::NVIDIA_POWER_LIMIT, "configured") => {
                self.power_limit = Some(number)
            }
            instrument::NVIDIA_POWER_LIMIT if is(attribute::NVIDIA_POWER_LIMIT, "enforced") => {
                self.power_limit = self.power_limit.or(Some(number));
            }
            _ => {}
        }
    }
}

type Place<'a> = (&'a str, (Option<i64>, Option<i64>), i64);

fn of_process<'a>(processes: &mut BTreeMap<Place<'a>, Process<'a>>, uuid: &'a str, series: &'a Series, number: f64) {
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
    match series.instrument.name {
        instrument::NVIDIA_PROCESS_INFO => {
            process.only_draws = attributes.text(attribute::NVIDIA_PROCESS_TYPE) == Some("graphics")
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

/// The node, as both replaced tools name it: Kubernetes' name, else the host's.
pub(super) fn node(resource: &Resource) -> String {
    let name = ["k8s.node.name", "host.name"]
        .into_iter()
        .find_map(|key| resource.get(key));
    name.map(ToString::to_string).unwrap_or_default()
}
