//! Attributes of the process, container and pod that a reading belongs to.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::container::Container;
use accelscope_core::cgroup::{Cgroup, Scheduler};
use accelscope_core::metric::{Attribute, Attributes, key};

/// Result of resolving a reading's owner.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// The owner's attributes.
    Known(Arc<Resolved>),
    /// Its container's names are still looked for, for 5 s at most.
    Wait,
    /// It was gone before anything about it could be read.
    Unknown,
}

/// Attributes of an owner.
#[derive(Debug)]
pub struct Resolved {
    attributes: Vec<Attribute>,
    /// What its process is in at the outermost, where the attributes do not name it.
    pub outermost: Option<Arc<str>>,
    /// The attributes as a series has them, once they were asked for.
    set: OnceLock<Arc<Attributes>>,
}

impl Resolved {
    /// The attributes as a series has them.
    pub fn as_set(&self) -> Arc<Attributes> {
        let set = || Arc::new(Attributes::new(self.attributes.iter().cloned()));
        Arc::clone(self.set.get_or_init(set))
    }
}

impl PartialEq for Resolved {
    fn eq(&self, other: &Self) -> bool {
        self.attributes == other.attributes && self.outermost == other.outermost
    }
}

impl Eq for Resolved {}

impl From<Vec<Attribute>> for Resolved {
    fn from(attributes: Vec<Attribute>) -> Self {
        Self {
            attributes,
            outermost: None,
            set: OnceLock::new(),
        }
    }
}

impl Deref for Resolved {
    type Target = [Attribute];

    fn deref(&self) -> &[Attribute] {
        &self.attributes
    }
}

/// An owner's attributes, made anew only when its container's names have changed.
#[derive(Debug, Default)]
pub(super) struct OwnerAttributes {
    container: Option<Arc<Container>>,
    list: Option<Arc<Resolved>>,
}

impl OwnerAttributes {
    /// Bytes that it takes, by an estimate; the container's names are shared.
    pub(super) fn size(&self) -> usize {
        /// A pair of key and value, with a short text.
        const PAIR: usize = 80;
        self.list.as_ref().map_or(0, |list| 64 + PAIR * list.len())
    }

    /// The same list as last time, unless `container` is another one. Without an executable it is of all processes there.
    pub(super) fn get(
        &mut self,
        executable: Option<&str>,
        cgroup: &Cgroup,
        container: Option<Arc<Container>>,
        pid: Option<u32>,
        user: Option<u32>,
    ) -> Arc<Resolved> {
        let same = match (&self.container, &container) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if !same {
            (self.container, self.list) = (container, None);
        }
        let container = self.container.as_deref();
        self.list
            .get_or_insert_with(|| {
                Arc::new(Resolved {
                    attributes: list(executable, cgroup, container, pid, user),
                    outermost: outermost(cgroup, user),
                    set: OnceLock::new(),
                })
            })
            .clone()
    }
}

/// Whether the process is in nothing that root has named.
fn is_alone(cgroup: &Cgroup) -> bool {
    cgroup.job.is_none() && cgroup.unit.is_none() && !cgroup.is_contained()
}

/// Whose the names are, or the process that is in nothing: where that is not root, it shares no series with root's.
fn owner(cgroup: &Cgroup, user: Option<u32>) -> Option<String> {
    let user = user.filter(|user| *user != 0 && is_alone(cgroup));
    let claimed = cgroup
        .claimed_by
        .clone()
        .filter(|_| cgroup.job.is_none() || cgroup.is_contained());
    claimed.or_else(|| user.map(|user| format!("user {user}")))
}

/// A batch job outside a pod is in nothing else, whatever it runs its processes in. What is in nothing at all is its user's.
fn outermost(cgroup: &Cgroup, user: Option<u32>) -> Option<Arc<str>> {
    let is_job = cgroup.job.is_some() && cgroup.pod_uid.is_none();
    let user = || Some(format!("user {}", user.filter(|_| is_alone(cgroup))?).into());
    let around = cgroup.outermost.as_deref().filter(|_| !is_job).map(Arc::from);
    around.or_else(user)
}

fn list(
    executable: Option<&str>,
    cgroup: &Cgroup,
    container: Option<&Container>,
    pid: Option<u32>,
    user: Option<u32>,
) -> Vec<Attribute> {
    let executable = executable.map(|executable| (key::PROCESS_EXECUTABLE_NAME, executable.into()));
    let mut list: Vec<Attribute> = executable.into_iter().collect();
    list.extend(pid.map(|pid| (key::PROCESS_PID, pid.into())));
    let mut text = |key, value: &Option<String>| list.extend(value.as_deref().map(|value| (key, value.into())));
    if let Some(container) = container {
        text(key::CONTAINER_ID, &container.id);
        text(key::CONTAINER_NAME, &container.name);
        text(key::CONTAINER_IMAGE_NAME, &container.image);
        text(key::K8S_CONTAINER_NAME, &container.k8s_container_name);
        text(key::K8S_POD_NAME, &container.pod_name);
        text(key::K8S_POD_UID, &container.pod_uid);
        text(key::K8S_NAMESPACE_NAME, &container.namespace);
    }
    text(key::SYSTEMD_UNIT, &cgroup.unit);
    text(key::ACCEL_OWNER, &owner(cgroup, user));
    if let Some(job) = &cgroup.job {
        let id = match job.scheduler {
            Scheduler::Slurm => key::SLURM_JOB_ID,
            Scheduler::Pbs => key::PBS_JOB_ID,
            Scheduler::Lsf => key::LSF_JOB_ID,
            Scheduler::HtCondor => key::HTCONDOR_SLOT_NAME,
        };
        list.push((id, job.id.as_str().into()));
        list.extend(job.step.as_deref().map(|step| (key::SLURM_STEP_ID, step.into())));
    }
    list
}
