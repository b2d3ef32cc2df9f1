//! The OCI bundle (`config.json`) that a runtime keeps for each running container.

use std::path::Path;

use super::files::Files;
use crate::attribution::container::Container;

/// Most containerd namespaces that are looked through; usual are `k8s.io`, `moby` and `default`.
const MAX_NAMESPACES: usize = 32;

/// Directories of containerd's state, the older one until 1.6.
const TASKS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];

/// containerd's bundle, in any of its namespaces.
pub(super) fn containerd(files: &Files, state: &Path, id: &str) -> Option<Container> {
    TASKS.iter().find_map(|tasks| {
        let tasks = state.join(tasks);
        let namespaces = files.names(&tasks, MAX_NAMESPACES);
        namespaces
            .iter()
            .find_map(|namespace| read(files, &tasks.join(namespace).join(id)))
    })
}

/// The bundle that containers/storage keeps beside a container's data; `drivers` is the directory of the storage driver.
pub(super) fn crio_or_podman(files: &Files, drivers: &Path, id: &str) -> Option<Container> {
    read(files, &drivers.join(id).join("userdata"))
}

fn read(files: &Files, bundle: &Path) -> Option<Container> {
    let config = files.json(&bundle.join("config.json"), &["annotations"])?;
    Some(Container::labelled(config.get("annotations")))
}
