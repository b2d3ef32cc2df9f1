//! Names of a container.

use serde_json::Value;

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
    /// The pod's uid, as it stands in the cgroup path.
    pub pod_uid: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// Its name within the pod.
    pub k8s_container_name: Option<String>,
    /// Whether it is what a runtime keeps of its pod beside the pod's containers, which has no name within the pod.
    pub is_sandbox: bool,
}

impl Container {
    /// From the labels or annotations that a runtime gave it.
    ///
    /// containerd: `internal/cri/annotations/annotations.go` (v2.1); CRI-O: `pkg/annotations/internal.go` (v1.33), which
    /// adds Kubernetes' labels as they are; nerdctl: `pkg/labels/labels.go` (v2.1).
    pub(super) fn labelled(labels: Option<&Value>) -> Self {
        let first = |keys: &[&str]| {
            keys.iter()
                .find_map(|key| labels?.get(key)?.as_str())
                .map(str::to_owned)
        };
        let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
        Self {
            id: None,
            is_sandbox: kind.is_some_and(|kind| kind == "sandbox"),
            name: first(&["nerdctl/name"]),
            image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
            pod_name: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
            pod_uid: first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
            namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
            k8s_container_name: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        }
    }

    /// Whether it has a name besides ids.
    pub fn is_named(&self) -> bool {
        self.pod_name.is_some() || self.name.is_some()
    }

    /// Whether no other source could add anything that is needed.
    pub fn is_complete(&self) -> bool {
        if self.is_in_pod() {
            let is_pods_own = self.is_sandbox || (self.id.is_none() && self.name.is_none());
            let is_named = self.k8s_container_name.is_some() || is_pods_own;
            self.pod_name.is_some() && self.namespace.is_some() && is_named
        } else {
            self.name.is_some()
        }
    }

    pub(super) fn is_in_pod(&self) -> bool {
        self.pod_uid.is_some() || self.pod_name.is_some()
    }

    /// Whether the other is of another pod. Runtimes write a pod's uid with dashes or without.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let plain = |uid: &Option<String>| uid.as_ref().map(|uid| uid.replace(['-', '_'], ""));
        matches!((plain(&self.pod_uid), plain(&other.pod_uid)), (Some(mine), Some(theirs)) if mine != theirs)
    }

    /// Takes from `other` what is missing.
    pub(super) fn fill(&mut self, other: Self) {
        let fill = |mine: &mut Option<String>, other: Option<String>| {
            if mine.is_none() {
                *mine = other.filter(|text| !text.is_empty());
            }
        };
        self.is_sandbox |= other.is_sandbox;
        fill(&mut self.name, other.name);
        fill(&mut self.image, other.image);
        fill(&mut self.pod_name, other.pod_name);
        fill(&mut self.pod_uid, other.pod_uid);
        fill(&mut self.namespace, other.namespace);
        fill(&mut self.k8s_container_name, other.k8s_container_name);
    }
}
