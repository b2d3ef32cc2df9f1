//! UIDs of the node's pods, which the PodResources API leaves out.

use std::collections::HashMap;
use std::fs::File;
use std::time::SystemTime;

use accelscope_core::host::HostRoots;

/// Where every kubelet has a directory `<namespace>_<pod>_<uid>` for each of its pods (`buildPodLogsDirectory` in
/// `pkg/kubelet/kuberuntime/helpers.go`).
const LOGS: &str = "/var/log/pods";
/// Most directories that are looked at; those of ended pods stay for a while.
const MAX_PODS: usize = 4096;

/// The UID of each pod by namespace and name.
#[derive(Debug, Default)]
pub(super) struct PodUids(HashMap<(String, String), String>);

impl PodUids {
    /// Reads the names of the directories. Of several pods of one name the newest is the one that runs: the kubelet makes
    /// its directory when the pod starts.
    pub(super) fn read(roots: &HostRoots) -> Self {
        let mut all: HashMap<(String, String), Vec<String>> = HashMap::new();
        for name in roots.names(LOGS, MAX_PODS).unwrap_or_default() {
            let parts: Vec<&str> = name.split('_').collect();
            let [namespace, pod, uid] = parts[..] else { continue };
            if ![namespace, pod, uid].contains(&"") {
                let uids = all.entry((namespace.to_owned(), pod.to_owned())).or_default();
                uids.push(uid.to_owned());
            }
        }
        let newest = all.into_iter().filter_map(|((namespace, pod), mut uids)| {
            let uid = if uids.len() == 1 {
                uids.remove(0)
            } else {
                let directory = |uid: &String| format!("{LOGS}/{namespace}_{pod}_{uid}");
                uids.into_iter().max_by_key(|uid| made(roots, &directory(uid)))?
            };
            Some(((namespace, pod), uid))
        });
        Self(newest.collect())
    }

    /// The UID of that pod.
    pub(super) fn get(&self, namespace: &str, pod: &str) -> Option<&str> {
        let key = (namespace.to_owned(), pod.to_owned());
        self.0.get(&key).map(String::as_str)
    }
}

/// When the directory was made; when it was changed last where the file system does not keep that.
fn made(roots: &HostRoots, directory: &str) -> Option<SystemTime> {
    let metadata = File::from(roots.find(directory).ok()?).metadata().ok()?;
    metadata.created().or_else(|_| metadata.modified()).ok()
}
