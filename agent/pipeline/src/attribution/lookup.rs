//! A container's names, from what the node itself holds: no runtime's socket, no API server.

use super::container::Container;
use super::{bundle, engine, logs};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;

/// The host's directories that containers' names are read from, where they exist; for `agent doctor`.
pub fn name_sources() -> impl Iterator<Item = &'static str> {
    let state = [bundle::CONTAINERD, bundle::STORAGE, engine::DOCKER];
    state.into_iter().flatten().copied().chain([logs::LINKS, logs::PODS])
}

/// Looks on the node for the names of the container in `cgroup`, the most complete source first: the runtime's bundle,
/// the engine's own state, the links of `/var/log/containers`, the directories of `/var/log/pods`.
///
/// Every source may be missing; each fills in what those before it left open.
pub fn find_container(roots: &HostRoots, cgroup: &Cgroup) -> Container {
    let mut container = Container {
        id: cgroup.container_id.clone(),
        name: cgroup.container_name.clone(),
        pod_uid: cgroup.pod_uid.clone(),
        ..Container::default()
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

/// Whether it can be part of a path: an id may come from a cgroup that a container made itself.
fn is_plain(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    id.len() <= 128 && !id.starts_with('.') && id.bytes().all(allowed)
}
