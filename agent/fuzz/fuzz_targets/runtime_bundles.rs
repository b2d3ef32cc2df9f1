//! Arbitrary files of container engines, their configuration and the kubelet's directories: names are of the container that was
//! looked for, what a user or a container says gives no pod, and no reason quotes a file.
#![no_main]

use std::path::Path;
use std::time::Instant;

use accelscope_core::cgroup::Cgroup;
use accelscope_core::host::HostRoots;
use accelscope_core::printable::printable;
use accelscope_pipeline::attribution::Engines;
use accelscope_pipeline::attribution::container::Container;
use agent_fuzz::node::{ID, UID, node};
use libfuzzer_sys::fuzz_target;

/// Most engines' directories: those that are searched for, those by default and the kubelet's.
const MAX_DIRECTORIES: usize = 256 + 10 + 2;

fuzz_target!(|bytes: &[u8]| {
    let node = node(bytes).expect("room for a node");
    let roots = HostRoots::new(node.path());
    let mut engines = Engines::new(&roots, &[]);
    let now = Instant::now();
    let paths = [
        format!("/kubepods/besteffort/pod{UID}/{ID}"),
        format!("/system.slice/docker-{ID}.scope"),
        format!("/../cri-containerd-{ID}.scope"),
        format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
        "/default/camera".to_owned(),
    ];
    // One search takes long: of each input one is compared.
    let compared = bytes.len() % paths.len();
    for (at, path) in paths.iter().enumerate() {
        let cgroup = Cgroup::from_path(path);
        let found = engines.find(&cgroup, now);
        is_of_that_container(&found, &cgroup);
        if at == compared {
            let afresh = Engines::new(&roots, &[]).find(&cgroup, now);
            assert_eq!(afresh, found, "whoever looks finds the same");
        }
    }
    for (path, reason) in engines.unusable() {
        assert!(path.starts_with("/") || path.starts_with(node.path()));
        assert!(
            reason.len() <= 256 && reason.is_ascii() && printable(&reason) == reason,
            "{reason}"
        );
    }
    let directories = engines.directories(now);
    assert!(directories.len() <= MAX_DIRECTORIES);
    assert!(
        directories
            .iter()
            .all(|(path, _)| path.is_absolute() && path != Path::new("/dev"))
    );
});

fn is_of_that_container(found: &Container, cgroup: &Cgroup) {
    let Container {
        id,
        name,
        image,
        pod_name,
        pod_uid,
        namespace,
        k8s_container_name,
        is_sandbox: _,
    } = found;
    for text in [id, name, image, pod_name, pod_uid, namespace, k8s_container_name]
        .into_iter()
        .flatten()
    {
        assert!(!text.is_empty(), "{found:?}");
    }
    // Of a claim that is another's nothing is left.
    assert!(
        *id == cgroup.container_id || (id.is_none() && cgroup.is_claimed()),
        "{found:?}"
    );
    if cgroup.pod_uid.is_some() {
        assert_eq!(*pod_uid, cgroup.pod_uid);
    }
    if pod_uid.is_some() || pod_name.is_some() {
        assert_eq!(*name, None);
    }
    if cgroup.is_claimed() {
        assert_eq!(
            (pod_name, pod_uid, namespace, k8s_container_name),
            (&None, &None, &None, &None)
        );
    }
}
