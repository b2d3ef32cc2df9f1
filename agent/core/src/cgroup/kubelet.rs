//! Where the kubelet makes the groups of its pods.

/// The node below which all of them are, after the kubelet's own root (`--cgroup-root`), and the classes of quality of service
/// between it and the pods (`pkg/kubelet/cm/pod_container_manager_linux.go`).
const NODE: &str = "kubepods";
const CLASSES: [&str; 3] = ["guaranteed", "burstable", "besteffort"];

/// Services of engines below which are groups of pods whose kubelet has the systemd driver while the engine has not.
const ENGINES: &[&str] = &[
    "containerd.service",
    "crio.service",
    "docker.service",
    "isulad.service",
    "k3s-agent.service",
    "k3s.service",
    "rke2-agent.service",
    "rke2-server.service",
];

/// Whether a pod's group may have the name `text` below the groups `above`, which begin at the host's root or within a
/// container that is a node itself; for a path from outside the reader's namespace (`is_cut`) its beginning is not known.
///
/// Anything else is a group that somebody has made to look like a pod's.
pub(super) fn makes(text: &str, above: &[&str], is_cut: bool) -> bool {
    let (slice, is_in_engines) = match text.split_once(':') {
        Some((slice, _)) => (slice, above.last().is_some_and(|parent| ENGINES.contains(parent))),
        None => (text, false),
    };
    // No service and no scope, nor what a user has, is around a kubelet's groups.
    let around = if is_in_engines {
        &above[..above.len() - 1]
    } else {
        above
    };
    if around.iter().any(|name| is_others(name)) {
        return false;
    }
    if let Some(slice) = slice.strip_suffix(".slice") {
        // A slice's name has those of all slices above it.
        let parent = slice.rfind("-pod").map_or("", |end| &slice[..end]);
        let class = CLASSES
            .iter()
            .find_map(|class| parent.strip_suffix(class)?.strip_suffix('-'));
        let node = class.unwrap_or(parent);
        return node == NODE || node.strip_suffix(NODE).is_some_and(|root| root.ends_with('-'));
    }
    let mut above = above.iter().rev();
    let parent = above.next();
    let parent = match parent {
        Some(class) if CLASSES.contains(class) => above.next(),
        parent => parent,
    };
    parent.map_or(is_cut, |parent| *parent == NODE)
}

fn is_others(name: &str) -> bool {
    let is_unit = matches!(name.rsplit_once('.'), Some((_, "service" | "scope")));
    is_unit || name == "user.slice" || name.starts_with("user-")
}
