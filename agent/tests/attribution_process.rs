//! Attributes of processes: resolved once, unchanged afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Owner, ProcessKey};
use accelscope_pipeline::attribution::{Attribution, Resolution, Settings};

const ID: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";
const UID: &str = "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9";

/// A host that consists of what a test puts there.
struct Host {
    directory: tempfile::TempDir,
    attribution: Attribution,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let attribution = Attribution::new(&HostRoots::new(directory.path()), settings);
        Self {
            directory,
            attribution,
            now: Instant::now(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn process(&self, pid: u32, start_ticks: u64, exe: &str, cgroup: &str) -> ProcessKey {
        let zeros = vec!["0"; 30].join(" ");
        let stat = format!("{pid} (a) b) S {} {start_ticks} {zeros}\n", vec!["0"; 18].join(" "));
        std::fs::write(self.path(&format!("proc/{pid}/stat")), stat).unwrap();
        std::fs::write(self.path(&format!("proc/{pid}/cgroup")), cgroup).unwrap();
        std::fs::write(self.path(&format!("proc/{pid}/comm")), "worker-1\n").unwrap();
        let link = self.path(&format!("proc/{pid}/exe"));
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link).unwrap();
        }
        if !exe.is_empty() {
            symlink(exe, link).unwrap();
        }
        ProcessKey { pid, start_ticks }
    }

    fn ends(&self, process: ProcessKey) {
        std::fs::remove_dir_all(self.path(&format!("proc/{}", process.pid))).unwrap();
    }

    fn bundle(&self, pod: &str) {
        let bundle = format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json");
        let text = format!(
            r#"{{"annotations":{{"io.kubernetes.cri.container-name":"detector","io.kubernetes.cri.sandbox-name":"{pod}",
            "io.kubernetes.cri.sandbox-namespace":"edge","io.kubernetes.cri.image-name":"vision:3"}}}}"#
        );
        std::fs::write(self.path(&bundle), text).unwrap();
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn resolve(&mut self, process: ProcessKey, always_pid: bool) -> Resolution {
        self.attribution.evict(self.now);
        self.attribution
            .resolve(&Owner::Process { process, always_pid }, self.now)
    }

    /// The attributes as text, or the reason why there are none.
    fn shown(&mut self, process: ProcessKey) -> String {
        shown(self.resolve(process, false))
    }
}

fn shown(resolution: Resolution) -> String {
    match resolution {
        Resolution::Known(attributes) => {
            let mut shown: Vec<_> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            shown.sort();
            shown.join(" ")
        }
        Resolution::Wait => "wait".to_owned(),
        Resolution::Unknown => "unknown".to_owned(),
    }
}

fn in_pod() -> String {
    format!("0::/kubepods/pod{UID}/{ID}\n")
}

fn named(pod: &str) -> String {
    format!(
        "container.id={ID} container.image.name=vision:3 k8s.container.name=detector k8s.namespace.name=edge \
         k8s.pod.name={pod} k8s.pod.uid={UID} process.executable.name=python3.11"
    )
}

fn unnamed() -> String {
    format!("container.id={ID} k8s.pod.uid={UID} process.executable.name=python3.11")
}

#[test]
fn a_containers_process_gets_all_its_names() {
    let mut host = Host::new();
    host.bundle("vision-1");
    let process = host.process(7, 100, "/usr/bin/python3.11 (deleted)", &in_pod());
    assert_eq!(host.shown(process), named("vision-1"));
}

#[test]
fn a_process_outside_containers_gets_its_unit_and_its_kernel_name_only_without_an_executable() {
    let mut host = Host::new();
    let service = host.process(7, 100, "/opt/my app/detector", "0::/system.slice/detector.service\n");
    assert_eq!(
        host.shown(service),
        "process.executable.name=detector systemd.unit=detector.service"
    );
    let hidden = host.process(8, 100, "", "0::/\n");
    assert_eq!(host.shown(hidden), "process.executable.name=worker-1");
}

#[test]
fn a_pid_is_shown_where_it_is_asked_for() {
    let mut host = Host::new();
    let process = host.process(7, 100, "/bin/app", "0::/\n");
    assert_eq!(
        shown(host.resolve(process, true)),
        "process.executable.name=app process.pid=7"
    );
    assert_eq!(shown(host.resolve(process, false)), "process.executable.name=app");
    let mut each = Host::with(Settings {
        per_process: true,
        ..Settings::default()
    });
    let process = each.process(7, 100, "/bin/app", "0::/\n");
    assert_eq!(each.shown(process), "process.executable.name=app process.pid=7");
}

#[test]
fn a_reused_pid_is_another_process() {
    let mut host = Host::new();
    let first = host.process(7, 100, "/bin/first", "0::/\n");
    assert_eq!(host.shown(first), "process.executable.name=first");
    let second = host.process(7, 200, "/bin/second", "0::/\n");
    assert_eq!(host.shown(second), "process.executable.name=second");
    assert_eq!(host.shown(first), "process.executable.name=first");
    host.after(Duration::from_mins(2));
    assert_eq!(host.shown(first), "process.executable.name=first");
    let never_seen = ProcessKey {
        pid: 7,
        start_ticks: 150,
    };
    assert_eq!(host.shown(never_seen), "unknown");
}

#[test]
fn a_process_that_has_ended_stays_what_it_was_and_one_never_seen_is_unknown() {
    let mut host = Host::new();
    host.bundle("vision-1");
    let process = host.process(7, 100, "/usr/bin/python3.11", &in_pod());
    assert_eq!(host.shown(process), named("vision-1"));
    host.ends(process);
    std::fs::remove_dir_all(host.path("run")).unwrap();
    for _ in 0..30 {
        assert_eq!(host.after(Duration::from_mins(5)).shown(process), named("vision-1"));
    }
    assert_eq!(host.shown(ProcessKey { pid: 8, start_ticks: 1 }), "unknown");
    // Not requested.
    assert_eq!(
        host.after(Duration::from_mins(17))
            .shown(ProcessKey { pid: 8, start_ticks: 1 }),
        "unknown"
    );
    assert_eq!(host.shown(process), "unknown");
}

#[test]
fn a_process_is_read_again_only_once_a_minute() {
    let mut host = Host::new();
    let process = host.process(7, 100, "/bin/sh", "0::/\n");
    let Resolution::Known(first) = host.resolve(process, false) else {
        panic!("not known")
    };
    host.process(7, 100, "/opt/detector", "0::/system.slice/detector.service\n");
    for _ in 0..59 {
        let Resolution::Known(again) = host.after(Duration::from_secs(1)).resolve(process, false) else {
            panic!("not known")
        };
        assert!(
            std::sync::Arc::ptr_eq(&first, &again),
            "made anew although nothing was read"
        );
    }
    let changed = host.after(Duration::from_secs(1)).shown(process);
    assert_eq!(
        changed,
        "process.executable.name=detector systemd.unit=detector.service"
    );
}

#[test]
fn a_container_gets_five_seconds_to_be_named() {
    let mut host = Host::new();
    let process = host.process(7, 100, "/usr/bin/python3.11", &in_pod());
    assert_eq!(host.shown(process), "wait");
    assert_eq!(host.after(Duration::from_secs(3)).shown(process), "wait");
    host.bundle("vision-1");
    assert_eq!(host.after(Duration::from_secs(1)).shown(process), named("vision-1"));
}

#[test]
fn a_container_without_names_goes_out_with_its_id_and_is_named_when_it_can_be() {
    let mut host = Host::new();
    let process = host.process(7, 100, "/usr/bin/python3.11", &in_pod());
    assert_eq!(host.shown(process), "wait");
    assert_eq!(host.after(Duration::from_secs(5)).shown(process), unnamed());
    host.bundle("vision-1");
    assert_eq!(host.after(Duration::from_secs(30)).shown(process), unnamed());
    assert_eq!(host.after(Duration::from_secs(30)).shown(process), named("vision-1"));
}

#[test]
fn names_that_come_between_two_rare_readings_are_not_missed() {
    let mut host = Host::new();
    let process = host.process(7, 100, "/usr/bin/python3.11", &in_pod());
    assert_eq!(host.shown(process), "wait");
    host.bundle("vision-1");
    assert_eq!(host.after(Duration::from_secs(10)).shown(process), named("vision-1"));
}

/// A cgroup that is removed at the end, with a process in it.
struct Group {
    directory: PathBuf,
    made: Vec<PathBuf>,
    child: Child,
}

impl Group {
    fn new(hierarchy: &str, path: &str) -> std::io::Result<Self> {
        let (mut directory, mut made) = (PathBuf::from(hierarchy), Vec::new());
        for name in path.split('/') {
            directory.push(name);
            match std::fs::create_dir(&directory) {
                Ok(()) => made.push(directory.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        let child = Command::new("sleep").arg("1000").spawn()?;
        let group = Self { directory, made, child };
        std::fs::write(group.directory.join("cgroup.procs"), group.child.id().to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        for directory in self.made.iter().rev() {
            // A group is busy for a moment after its last process was waited for.
            let deadline = Instant::now() + Duration::from_secs(5);
            while std::fs::remove_dir(directory).is_err() && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_real_process_in_real_cgroups_named_like_a_pods() {
    let candidates = [
        "/sys/fs/cgroup/pids",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/unified",
        "/sys/fs/cgroup",
    ];
    let is_hierarchy = |path: &&&str| std::path::Path::new(path).join("cgroup.procs").exists();
    let mut tried = 0;
    for hierarchy in candidates.iter().filter(is_hierarchy) {
        let name = format!("accelscope-test-{}", std::process::id());
        let uid = UID.replace('-', "_");
        let path = format!("{name}/kubepods-burstable-pod{uid}.slice/cri-containerd-{ID}.scope");
        let group = match Group::new(hierarchy, &path) {
            Ok(group) => group,
            Err(error) => {
                println!("SKIPPED: {hierarchy}: cannot make a cgroup: {error}");
                continue;
            }
        };
        tried += 1;
        let mut host = Host::new();
        host.bundle("vision-1");
        symlink("/proc", host.directory.path().join("proc")).unwrap();
        let roots = HostRoots::new(host.directory.path());
        let process = Processes::new(&roots).key(group.child.id()).unwrap();
        let found = host.shown(process);
        assert!(
            found.contains(&format!("k8s.pod.name=vision-1 k8s.pod.uid={UID}")),
            "{hierarchy}: {found}"
        );
        // The kernel's own name of the executable, which may be a link's target (busybox, coreutils).
        let exe = std::fs::read_link(format!("/proc/{}/exe", group.child.id())).unwrap();
        let exe = exe.file_name().unwrap().to_str().unwrap();
        assert!(
            found.ends_with(&format!("process.executable.name={exe}")),
            "{hierarchy}: {found}"
        );
    }
    assert!(tried > 0 || !skip_test::is_required("cgroups"), "cgroups are required");
}
