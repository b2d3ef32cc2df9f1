//! The log directories of Kubernetes, named after container and pod.

use super::container::Container;
use accelscope_core::host::HostRoots;

/// The links to the logs of containers, and the directories they lead to.
pub(super) const LINKS: &str = "/var/log/containers";
pub(super) const PODS: &str = "/var/log/pods";

/// Most names that are looked through. A node has 110 pods by default, and dead containers' links beside theirs.
const MAX_NAMES: usize = 10_000;

/// From the name of the link `<pod>_<namespace>_<container>-<id>.log` in `/var/log/containers`.
pub(super) fn link(roots: &HostRoots, id: &str) -> Option<Container> {
    let suffix = format!("-{id}.log");
    let links = roots.names(LINKS, MAX_NAMES).ok()?;
    let name = links.iter().find_map(|link| link.strip_suffix(&suffix))?;
    // No name in Kubernetes has an underscore.
    let mut parts = name.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then(|| Container {
        pod_name: Some(pod.to_owned()),
        namespace: Some(namespace.to_owned()),
        k8s_container_name: Some(container.to_owned()),
        ..Container::default()
    })
}

/// From the name of the directory `<namespace>_<pod>_<uid>` in `/var/log/pods`.
pub(super) fn pod(roots: &HostRoots, uid: &str) -> Option<Container> {
    let suffix = format!("_{uid}");
    let directories = roots.names(PODS, MAX_NAMES).ok()?;
    let name = directories
        .iter()
        .find_map(|directory| directory.strip_suffix(&suffix))?;
    let (namespace, pod) = name.split_once('_')?;
    Some(Container {
        pod_name: Some(pod.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..Container::default()
    })
}
