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
    Workload {
        /// With which others it shares the room of one.
        group: Group,
        /// Its name.
        name: Arc<str>,
    },
}

/// What owners are in together: a pod, a batch job, a container or user around them, or an owner by itself. Room is shared
/// among these first, so that one gets no more room for having many containers.
pub(crate) type Group = Arc<str>;

impl Owner {
    /// Owner of a series: its container as Kubernetes or the runtime names it, else its batch job, of which one unit may have
    /// many, else its systemd unit, else the name without an id that its runtime or user gave it, else `outermost`, what its
    /// process is in where that is known. What names none of these is of its device.
    pub(crate) fn of(
        sampler: &'static str,
        instrument: &Instrument,
        attributes: &Attributes,
        outermost: Option<&Group>,
    ) -> Self {
        if sampler == telemetry::SCOPE {
            return Self::Agent;
        }
        let text = |key| match attributes.get(key) {
            Some(AttributeValue::Str(text)) => Some(text.clone()),
            _ => None,
        };
        let [namespace, pod, container] =
            [key::K8S_NAMESPACE_NAME, key::K8S_POD_NAME, key::K8S_CONTAINER_NAME].map(|key| attributes.text(key));
        let pod = namespace.zip(pod);
        let job = JOBS.iter().find_map(|key| attributes.text(key));
        let job = job.map(|id| Arc::<str>::from(format!("job {id}")));
        let uid = text(key::K8S_POD_UID);
        let named = pod.zip(container);
        let name = named
            .map(|((namespace, pod), container)| format!("container {namespace}/{pod}/{container}").into())
            .or_else(|| text(key::CONTAINER_ID))
            .or_else(|| uid.clone())
            .or_else(|| job.clone())
            .or_else(|| text(key::SYSTEMD_UNIT))
            .or_else(|| text(key::CONTAINER_NAME))
            .or_else(|| text(key::ACCEL_OWNER))
            .or_else(|| outermost.cloned())
            .or_else(|| instrument.owned.then(|| "processes of no container or unit".into()));
        let Some(name) = name else {
            let mut devices = [key::HW_ID, key::HW_NAME, key::ACCEL_DEVICE_NAME].into_iter();
            return Self::Device(devices.find_map(text).unwrap_or_else(|| sampler.into()));
        };
        let group = outermost.cloned();
        let group = group
            .or_else(|| Some(format!("pod {}", uid?).into()))
            .or_else(|| pod.map(|(namespace, pod)| format!("pod {namespace}/{pod}").into()))
            .or(job)
            .unwrap_or_else(|| name.clone());
        Self::Workload { group, name }
    }

    /// Its place in the order in which room is given.
    pub(crate) fn rank(&self) -> usize {
        match self {
            Self::Agent => 0,
            Self::Device(_) => 1,
            Self::Workload { .. } => 2,
        }
    }

    /// Its group where it is a workload: one that may have too much.
    pub(crate) fn workload(&self) -> Option<&Group> {
        match self {
            Self::Agent | Self::Device(_) => None,
            Self::Workload { group, .. } => Some(group),
        }
    }

    /// Among which room is shared first.
    pub(crate) fn group(&self) -> Group {
        match self {
            Self::Agent => "the agent".into(),
            Self::Device(name) => name.clone(),
            Self::Workload { group, .. } => group.clone(),
        }
    }
}
