//! Cache of the owners that are a container, job or unit and no process of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::containers::{ContainerCache, Names};
use super::resolution::{OwnerAttributes, Resolution};
use accelscope_core::budget::{Account, Budget, Purpose};
use accelscope_core::cgroup::Cgroup;
use accelscope_core::evict_fairly;

/// Most owners in the cache, where memory allows it; beyond, pods, containers and users with more than their share lose those
/// that were used longest ago.
const MAX_OWNERS: usize = 4096;

/// Bytes of an owner in the cache, with its attributes.
const OWNER: u64 = 1200;

#[derive(Debug)]
pub(super) struct Within {
    entries: HashMap<Arc<Cgroup>, Entry>,
    account: Account,
}

#[derive(Debug)]
struct Entry {
    /// As the node has it.
    cgroup: Arc<Cgroup>,
    attributes: OwnerAttributes,
    used: Instant,
}

impl Entry {
    fn resolve(&mut self, containers: &mut ContainerCache, now: Instant) -> Resolution {
        self.used = now;
        match containers.names(&self.cgroup, now) {
            Names::Known(container) => {
                Resolution::Known(self.attributes.get(None, &self.cgroup, container, None, None))
            }
            Names::Wait => Resolution::Wait,
        }
    }
}

impl Within {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            entries: HashMap::new(),
            account: budget.account(Purpose::Names),
        }
    }

    pub(super) fn resolve(&mut self, owner: &Arc<Cgroup>, containers: &mut ContainerCache, now: Instant) -> Resolution {
        if let Some(entry) = self.entries.get_mut(owner) {
            return entry.resolve(containers, now);
        }
        let outermost = |cgroup: &Arc<Cgroup>, _: &Entry| Some(cgroup.outermost.clone().unwrap_or_default());
        let fitting = usize::try_from(self.account.room() / OWNER).unwrap_or(usize::MAX);
        let most = fitting.clamp(64, MAX_OWNERS);
        evict_fairly(&mut self.entries, most, outermost, |entry| entry.used);
        self.account.set((self.entries.len() as u64 + 1) * OWNER);
        let entry = self.entries.entry(owner.clone()).or_insert_with(|| Entry {
            cgroup: Arc::new(Cgroup::clone(owner).on_node(containers.own())),
            attributes: OwnerAttributes::default(),
            used: now,
        });
        entry.resolve(containers, now)
    }

    pub(super) fn evict(&mut self, before: Instant) {
        self.entries.retain(|_, entry| entry.used >= before);
        self.account.set(self.entries.len() as u64 * OWNER);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use accelscope_core::host::HostRoots;
    use accelscope_core::metric::{Owner, key};

    use super::super::{Attribution, Settings};
    use super::*;

    const ID: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";

    fn attributes(attribution: &mut Attribution, path: &str, now: Instant) -> Option<Vec<(&'static str, String)>> {
        let owner = Owner::Within(Arc::new(Cgroup::from_path(path)));
        match attribution.resolve(&owner, now) {
            Resolution::Known(found) => Some(found.iter().map(|(key, value)| (*key, value.to_string())).collect()),
            Resolution::Wait | Resolution::Unknown => None,
        }
    }

    #[test]
    fn a_container_has_its_names_and_no_process_and_waits_for_them() {
        let host = tempfile::tempdir().unwrap();
        let mut attribution = Attribution::new(&HostRoots::new(host.path()), Settings::default());
        let (docker, now) = (format!("/docker/{ID}"), Instant::now());
        assert_eq!(attributes(&mut attribution, &docker, now), None);
        let folder = host.path().join("var/lib/docker/containers").join(ID);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(
            folder.join("config.v2.json"),
            r#"{"Name":"/frigate","Config":{"Image":"frigate:0.15"}}"#,
        )
        .unwrap();
        let found = attributes(&mut attribution, &docker, now + Duration::from_secs(2)).unwrap();
        let expected = [
            (key::CONTAINER_ID, ID),
            (key::CONTAINER_NAME, "frigate"),
            (key::CONTAINER_IMAGE_NAME, "frigate:0.15"),
        ];
        assert_eq!(found, expected.map(|(key, value)| (key, value.to_owned())));
        let unit = attributes(&mut attribution, "/system.slice/a.service", now).unwrap();
        assert_eq!(unit, [(key::SYSTEMD_UNIT, "a.service".to_owned())]);
    }

    const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";

    /// Nothing else has a name within the pod for what is its own.
    #[test]
    fn a_pod_itself_and_its_sandbox_do_not_wait_for_the_name_of_a_container() {
        let containerd = r#"{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"web",
            "io.kubernetes.cri.sandbox-namespace":"edge","io.kubernetes.cri.sandbox-uid":"UID"}"#;
        let crio = r#"{"io.kubernetes.cri-o.ContainerType":"sandbox","io.kubernetes.pod.name":"web",
            "io.kubernetes.pod.namespace":"edge","io.kubernetes.pod.uid":"UID"}"#;
        let logs = format!("var/log/pods/edge_web_{UID}/any");
        let tasks = "run/containerd/io.containerd.runtime.v2.task/k8s.io";
        let storage = "run/containers/storage/overlay-containers";
        let pod = format!("/kubepods/besteffort/pod{UID}");
        for (path, text, group) in [
            (logs, "", pod.clone()),
            (format!("{tasks}/{ID}/config.json"), containerd, format!("{pod}/{ID}")),
            (
                format!("{storage}/{ID}/userdata/config.json"),
                crio,
                format!("{pod}/{ID}"),
            ),
        ] {
            let host = tempfile::tempdir().unwrap();
            let file = host.path().join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!(r#"{{"annotations":{}}}"#, text.replace("UID", UID))).unwrap();
            let mut attribution = Attribution::new(&HostRoots::new(host.path()), Settings::default());
            let found = attributes(&mut attribution, &group, Instant::now());
            let name = (key::K8S_POD_NAME, "web".to_owned());
            assert!(found.is_some_and(|found| found.contains(&name)), "{path}");
        }
    }

    #[test]
    fn an_engine_that_is_installed_later_names_what_it_runs() {
        let host = tempfile::tempdir().unwrap();
        let mut attribution = Attribution::new(&HostRoots::new(host.path()), Settings::default());
        let (docker, now) = (format!("/docker/{ID}"), Instant::now());
        let later = now + Duration::from_secs(600);
        for seconds in [0, 10, 20] {
            attributes(&mut attribution, &docker, now + Duration::from_secs(seconds));
        }
        let folder = host.path().join("var/lib/docker/containers").join(ID);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.v2.json"), r#"{"Name":"/frigate"}"#).unwrap();
        let found = attributes(&mut attribution, &docker, later).unwrap();
        assert!(
            found.contains(&(key::CONTAINER_NAME, "frigate".to_owned())),
            "{found:?}"
        );
    }
}
