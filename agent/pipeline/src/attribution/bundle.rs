//! The OCI bundle (`config.json`) that a runtime keeps for each running container.

use std::collections::HashMap;
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
    annotations: Option<HashMap<String, String>>,
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
    let config: Config = json::read(roots, &bundle.join("config.json"))?;
    Some(Container::labelled(&config.annotations.unwrap_or_default()))
}
