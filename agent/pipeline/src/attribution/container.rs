//! A container's names, from what the node itself holds: no runtime's socket, no API server.

use super::{bundle, engine, logs};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;

/// What is known of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: Option<String>,
    /// Its name outside Kubernetes.
    pub name: Option<String>,
    /// The name of its image.
    pub image: Option<String>,
    /// Its pod.
    pub pod_name: Option<String>,
    /// The pod's uid, as the kubelet has it.
    pub pod_uid: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// Its name within the pod.
    pub k8s_container_name: Option<String>,
}

impl Container {
    /// Looks on the node for whatever `cgroup` names, in the order of what knows most: the runtime's bundle, the
    /// engine's own state, the links of `/var/log/containers`, the directories of `/var/log/pods`.
    ///
    /// Every source may be missing; each fills in what those before it left open.
    pub fn look_up(roots: &HostRoots, cgroup: &Cgroup) -> Self {
        let mut container = Self {
            id: cgroup.container_id.clone(),
            name: cgroup.container_name.clone(),
            pod_uid: cgroup.pod_uid.clone(),
            ..Self::default()
        };
        if let Some(id) = cgroup.container_id.as_deref().filter(|id| is_plain(id)) {
            for source in [
                bundle::containerd,
                bundle::crio_or_podman,
                engine::docker,
                engine::storage,
                logs::link,
            ] {
                if container.is_complete() {
                    break;
                }
                // A container that may write to its cgroup can make one that is named like another pod's container.
                if let Some(found) = source(roots, id).filter(|found| !container.contradicts(found)) {
                    container.fill(found);
                }
            }
            // An id of another shape was chosen by the container's user.
            if !container.is_in_pod() && id.len() != 64 {
                container.name.get_or_insert_with(|| id.to_owned());
            }
        }
        if let (None, Some(uid)) = (&container.pod_name, &container.pod_uid)
            && let Some(found) = logs::pod(roots, uid)
        {
            container.fill(found);
        }
        if container.is_in_pod() {
            container.name = None;
        }
        container
    }

    /// Whether it has a name that people know it by.
    pub fn is_named(&self) -> bool {
        self.pod_name.is_some() || self.name.is_some()
    }

    /// Whether no other source could add anything that is needed.
    pub fn is_complete(&self) -> bool {
        if self.is_in_pod() {
            self.pod_name.is_some() && self.namespace.is_some() && self.k8s_container_name.is_some()
        } else {
            self.name.is_some()
        }
    }

    /// Whether the other is of another pod. Runtimes write a pod's uid with dashes or without.
    fn contradicts(&self, other: &Self) -> bool {
        let plain = |uid: &Option<String>| uid.as_ref().map(|uid| uid.replace(['-', '_'], ""));
        matches!((plain(&self.pod_uid), plain(&other.pod_uid)), (Some(mine), Some(theirs)) if mine != theirs)
    }

    fn is_in_pod(&self) -> bool {
        self.pod_uid.is_some() || self.pod_name.is_some()
    }

    fn fill(&mut self, more: Self) {
        let fill = |mine: &mut Option<String>, other: Option<String>| {
            if mine.is_none() {
                *mine = other.filter(|text| !text.is_empty());
            }
        };
        fill(&mut self.name, more.name);
        fill(&mut self.image, more.image);
        fill(&mut self.pod_name, more.pod_name);
        fill(&mut self.pod_uid, more.pod_uid);
        fill(&mut self.namespace, more.namespace);
        fill(&mut self.k8s_container_name, more.k8s_container_name);
    }
}

/// Whether it can be part of a path: an id may come from a cgroup that a container made itself.
fn is_plain(id: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.len() <= 128 && !id.starts_with('.') && id.bytes().all(known)
}
