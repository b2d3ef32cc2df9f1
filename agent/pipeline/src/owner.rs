//! Owners of series, among which the room for them is shared.

use std::sync::Arc;

use accelscope_core::metric::{AttributeValue, Attributes, Instrument, key};
use accelscope_core::telemetry;

/// What names a batch job.
const JOBS: [&str; 4] = [
    key::SLURM_JOB_ID,
    key::PBS_JOB_ID,
    key::LSF_JOB_ID,
    key::HTCONDOR_SLOT_NAME,
];

/// Those that share the room for series. The first in this order do not give up theirs for those that follow when all
/// series together are too many.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The agent itself, by its own metrics.
    Agent,
    /// The hardware: readings of no process.
    Device(Arc<str>),
    /// What runs on the node.
    Workload(Arc<str>),
}

impl Owner {
    /// Owner of a series: its container as Kubernetes or the runtime names it, else its batch job, of which one unit may have
    /// many, else its systemd unit; without a process, its device.
    pub(crate) fn of(sampler: &'static str, instrument: &Instrument, attributes: &Attributes) -> Self {
        if sampler == telemetry::SCOPE {
            return Self::Agent;
        }
        let [namespace, pod, container] =
            [key::K8S_NAMESPACE_NAME, key::K8S_POD_NAME, key::K8S_CONTAINER_NAME].map(|key| attributes.text(key));
        if let (Some(namespace), Some(pod), Some(container)) = (namespace, pod, container) {
            return Self::Workload(format!("container {namespace}/{pod}/{container}").into());
        }
        let text = |key| match attributes.get(key) {
            Some(AttributeValue::Str(text)) => Some(text.clone()),
            _ => None,
        };
        let mut containers = [key::CONTAINER_ID, key::K8S_POD_UID].into_iter();
        if let Some(name) = containers.find_map(text) {
            return Self::Workload(name);
        }
        let mut jobs = JOBS.iter().filter_map(|key| attributes.text(key));
        if let Some(id) = jobs.next() {
            return Self::Workload(format!("job {id}").into());
        }
        if let Some(name) = text(key::SYSTEMD_UNIT) {
            return Self::Workload(name);
        }
        if instrument.owned {
            return Self::Workload("processes of no container or unit".into());
        }
        let mut devices = [key::HW_ID, key::HW_NAME, key::ACCEL_DEVICE_NAME].into_iter();
        Self::Device(devices.find_map(text).unwrap_or_else(|| sampler.into()))
    }

    /// Its place in the order in which room is given.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Agent => 0,
            Self::Device(_) => 1,
            Self::Workload(_) => 2,
        }
    }

    /// For people.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Agent => "the agent",
            Self::Device(name) | Self::Workload(name) => name,
        }
    }
}
