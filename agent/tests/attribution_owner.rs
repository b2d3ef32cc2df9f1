//! Attribution of captured processes to containers after the process and its control group are gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::{CgroupOwner, Owner, ProcessKey};
use accelscope_pipeline::attribution::{Attribution, Resolution, Settings};

const ID: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";
const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";

/// A hybrid host that consists of what a test puts there. The inode numbers of its directories stand for the kernel's ids.
struct Host {
    directory: tempfile::TempDir,
    attribution: Attribution,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let attribution = Attribution::new(&HostRoots::new(directory.path()), Settings::default());
        let host = Self {
            directory,
            attribution,
            now: Instant::now(),
        };
        let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t4\t38\t1\npids\t8\t1\t1\n";
        std::fs::write(host.path("proc/cgroups"), table).unwrap();
        std::fs::write(host.path("sys/fs/cgroup/unified/cgroup.controllers"), "").unwrap();
        std::fs::write(host.path("sys/fs/cgroup/pids/cgroup.procs"), "").unwrap();
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn group(&self, path: &str) -> u64 {
        let path = self.path(&format!("sys/fs/cgroup/{path}"));
        std::fs::create_dir_all(&path).unwrap();
        path.metadata().unwrap().ino()
    }

    fn bundle(&self, pod: &str) -> PathBuf {
        let bundle = self.path(&format!(
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"
        ));
        let text = format!(
            r#"{{"annotations":{{"io.kubernetes.cri.container-name":"detector","io.kubernetes.cri.sandbox-name":"{pod}",
            "io.kubernetes.cri.sandbox-namespace":"edge","io.kubernetes.cri.image-name":"vision:3"}}}}"#
        );
        std::fs::write(&bundle, text).unwrap();
        bundle
    }

    fn resolve(&mut self, owner: &Arc<CgroupOwner>) -> Resolution {
        self.attribution.evict(self.now);
        self.attribution.resolve(&Owner::Cgroup(owner.clone()), self.now)
    }
}

fn owner(unified: u64, legacy: u64) -> Arc<CgroupOwner> {
    Arc::new(CgroupOwner {
        unified,
        legacy,
        executable: "infer".into(),
        pid: None,
        alone: false,
        process: None,
    })
}

fn text(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Known(attributes) => {
            let mut all: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            all.sort();
            all.join(" ")
        }
        other => format!("{other:?}"),
    }
}

fn in_pod(pod: &str) -> String {
    format!(
        "container.id={ID} container.image.name=vision:3 k8s.container.name=detector k8s.namespace.name=edge \
         k8s.pod.name={pod} k8s.pod.uid={UID} process.executable.name=infer"
    )
}

#[test]
fn on_a_hybrid_host_the_pod_is_found_in_the_hierarchy_that_has_it() {
    let mut host = Host::new();
    host.bundle("vision-0");
    let service = host.group("unified/system.slice/containerd.service");
    let pod_of_v1 = host.group(&format!("pids/kubepods/besteffort/pod{UID}/{ID}"));
    let root_of_v1 = host.group("pids");
    let pod_of_v2 = host.group(&format!("unified/kubepods/besteffort/pod{UID}/{ID}"));
    assert_eq!(text(&host.resolve(&owner(service, pod_of_v1))), in_pod("vision-0"));
    assert_eq!(text(&host.resolve(&owner(pod_of_v2, root_of_v1))), in_pod("vision-0"));
    assert_eq!(
        text(&host.resolve(&owner(service, root_of_v1))),
        "process.executable.name=infer systemd.unit=containerd.service"
    );
}

#[test]
fn a_pod_that_came_and_went_between_two_looks_has_its_names() {
    let mut host = Host::new();
    let cgroups = host.attribution.cgroups();
    let bundle = host.bundle("vision-0");
    cgroups.add_created(8, 4711, &format!("/kubepods/besteffort/pod{UID}/{ID}"));
    host.attribution.prefetch_names(host.now);
    std::fs::remove_file(bundle).unwrap();
    host.now += Duration::from_millis(900);
    assert_eq!(text(&host.resolve(&owner(1, 4711))), in_pod("vision-0"));
}

#[test]
fn a_pod_that_was_there_before_and_went_after_its_first_call_has_its_names() {
    let mut host = Host::new();
    let cgroups = host.attribution.cgroups();
    let bundle = host.bundle("vision-0");
    let path = format!("pids/kubepods/besteffort/pod{UID}/{ID}");
    let legacy = host.group(&path);
    cgroups.scan();
    cgroups.announce(accelscope_core::host::cgroups::CgroupId {
        hierarchy: accelscope_core::host::cgroups::Hierarchy::Legacy,
        id: legacy,
    });
    host.attribution.prefetch_names(host.now);
    std::fs::remove_file(bundle).unwrap();
    std::fs::remove_dir(host.path(&format!("sys/fs/cgroup/{path}"))).unwrap();
    assert_eq!(text(&host.resolve(&owner(0, legacy))), in_pod("vision-0"));
}

#[test]
fn late_names_are_waited_for_and_an_unknown_id_is_not() {
    let mut host = Host::new();
    let legacy = host.group(&format!("pids/kubepods/besteffort/pod{UID}/{ID}"));
    let late = owner(0, legacy);
    assert!(matches!(host.resolve(&late), Resolution::Wait));
    host.bundle("vision-0");
    host.now += Duration::from_secs(1);
    assert_eq!(text(&host.resolve(&late)), in_pod("vision-0"));
    let unknown = owner(u64::MAX, 0);
    let mut waited = 0;
    while matches!(host.resolve(&unknown), Resolution::Wait) {
        waited += 1;
        assert!(waited <= 5, "its points never go out");
        host.now += Duration::from_secs(1);
    }
    assert_eq!(text(&host.resolve(&unknown)), "process.executable.name=infer");
}

#[test]
fn a_group_that_cannot_be_seen_is_asked_of_its_process_while_that_lives() {
    let mut host = Host::new();
    let zeros = vec!["0"; 18].join(" ");
    let more = vec!["0"; 30].join(" ");
    std::fs::write(host.path("proc/42/stat"), format!("42 (a) S {zeros} 7 {more}\n")).unwrap();
    std::fs::write(host.path("proc/42/cgroup"), "0::/system.slice/detector.service\n").unwrap();
    let hint = |start_ticks| {
        let process = Some(ProcessKey { pid: 42, start_ticks });
        Arc::new(CgroupOwner {
            process,
            pid: Some(42),
            ..(*owner(u64::MAX, 0)).clone()
        })
    };
    assert_eq!(
        text(&host.resolve(&hint(7))),
        "process.executable.name=infer process.pid=42 systemd.unit=detector.service"
    );
    // The same id, reused by a later process.
    let mut host = Host::new();
    let other = hint(8);
    host.resolve(&other);
    host.now += Duration::from_secs(10);
    assert_eq!(
        text(&host.resolve(&other)),
        "process.executable.name=infer process.pid=42"
    );
}
