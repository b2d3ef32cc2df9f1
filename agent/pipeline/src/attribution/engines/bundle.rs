//! The OCI bundle (`config.json`) that a runtime keeps for each running container.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::files;
use crate::attribution::container::Container;
use accelscope_core::host::HostRoots;

/// Most containerd namespaces that are looked through; usual are `k8s.io`, `moby` and `default`.
const MAX_NAMESPACES: usize = 32;

/// Directories of containerd's state, the older one until 1.6.
const TASKS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];

#[derive(Deserialize)]
struct Config {
    annotations: Option<HashMap<String, String>>,
}

/// containerd's bundle, in any of its namespaces.
pub(super) fn containerd(roots: &HostRoots, state: &Path, id: &str) -> Option<Container> {
    TASKS.iter().find_map(|tasks| {
        let tasks = state.join(tasks);
        let namespaces = roots.names(&tasks, MAX_NAMESPACES).ok()?;
        namespaces
            .iter()
            .find_map(|namespace| read(roots, &tasks.join(namespace).join(id)))
    })
}

/// The bundle that containers/storage keeps beside a container's data; `drivers` is the directory of the storage driver.
pub(super) fn crio_or_podman(roots: &HostRoots, drivers: &Path, id: &str) -> Option<Container> {
    read(roots, &drivers.join(id).join("userdata"))
}

fn read(roots: &HostRoots, bundle: &Path) -> Option<Container> {
    let config: Config = files::json(roots, &bundle.join("config.json"))?;
    Some(Container::labelled(&config.annotations.unwrap_or_default()))
}
