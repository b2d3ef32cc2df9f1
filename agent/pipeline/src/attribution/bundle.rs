//! The OCI bundle (`config.json`) that a runtime keeps for each running container.

use std::path::Path;

use serde::Deserialize;

use super::container::Container;
use super::json;
use accelscope_core::host::HostRoots;

/// Most containerd namespaces that are looked through; usual are `k8s.io`, `moby` and `default`.
const MAX_NAMESPACES: usize = 32;

/// Where containerd has its state: its own, k3s and RKE2, k0s, MicroK8s.
pub(super) const CONTAINERD: &[&str] = &[
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
];

/// Where containers/storage (CRI-O, Podman) has its state and its data.
pub(super) const STORAGE: &[&str] = &["/run/containers/storage", "/var/lib/containers/storage"];

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Annotations,
}

/// containerd: `internal/cri/annotations/annotations.go` (v2.1); CRI-O: `pkg/annotations/internal.go` (v1.33), which
/// adds Kubernetes' labels as they are; nerdctl: `pkg/labels/labels.go` (v2.1).
#[derive(Deserialize, Default)]
struct Annotations {
    #[serde(rename = "io.kubernetes.cri.sandbox-name")]
    cri_pod: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-namespace")]
    cri_namespace: Option<String>,
    #[serde(rename = "io.kubernetes.cri.sandbox-uid")]
    cri_uid: Option<String>,
    #[serde(rename = "io.kubernetes.cri.container-name")]
    cri_container: Option<String>,
    #[serde(rename = "io.kubernetes.cri.image-name")]
    cri_image: Option<String>,
    #[serde(rename = "io.kubernetes.pod.name")]
    pod: Option<String>,
    #[serde(rename = "io.kubernetes.pod.namespace")]
    namespace: Option<String>,
    #[serde(rename = "io.kubernetes.pod.uid")]
    uid: Option<String>,
    #[serde(rename = "io.kubernetes.container.name")]
    container: Option<String>,
    #[serde(rename = "io.kubernetes.cri-o.ImageName")]
    crio_image: Option<String>,
    #[serde(rename = "nerdctl/name")]
    nerdctl: Option<String>,
}

/// containerd's bundle, in any of its namespaces.
pub(super) fn containerd(roots: &HostRoots, id: &str) -> Option<Container> {
    CONTAINERD.iter().find_map(|state| {
        let tasks = Path::new(state).join("io.containerd.runtime.v2.task");
        let namespaces = roots.names(&tasks, MAX_NAMESPACES).ok()?;
        namespaces
            .iter()
            .find_map(|namespace| read(roots, &tasks.join(namespace).join(id)))
    })
}

/// The bundle that containers/storage keeps beside a container's data.
pub(super) fn crio_or_podman(roots: &HostRoots, id: &str) -> Option<Container> {
    let bundle = |storage: &&str| {
        read(
            roots,
            &Path::new(storage).join("overlay-containers").join(id).join("userdata"),
        )
    };
    STORAGE.iter().find_map(bundle)
}

fn read(roots: &HostRoots, bundle: &Path) -> Option<Container> {
    let path = bundle.join("config.json");
    let config: Config = json::read(roots, &path)?;
    let of = config.annotations;
    Some(Container {
        id: None,
        name: of.nerdctl,
        image: of.cri_image.or(of.crio_image),
        pod_name: of.cri_pod.or(of.pod),
        pod_uid: of.cri_uid.or(of.uid),
        namespace: of.cri_namespace.or(of.namespace),
        k8s_container_name: of.cri_container.or(of.container),
    })
}
