//! The Hailo sampler and containers: writers with a `/tmp` and process ids of their own. Needs root and unshare(1).

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod hailo_support;

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};

use hailo_support::{Host, is, monitor, pids, value, write_in_place};

const PROCESS: &str = "hailo.process.utilization";
const DEVICE: &str = "hw.npu.utilization";

/// A container in which the first process holds the device open and has written a monitor file.
struct Container {
    unshare: Child,
    init: u32,
}

impl Container {
    /// A container with the `/tmp` that the shell command `mount` creates.
    fn new(mount: &str, file: &str, bytes: &[u8]) -> Self {
        let script = format!(
            "exec 3</dev/full; {mount}; mkdir -p /tmp/hmon_files; cat >/tmp/hmon_files/{file}; exec sleep 600 </dev/null"
        );
        let mut unshare = Command::new("unshare")
            .args([
                "--pid",
                "--fork",
                "--mount",
                "--mount-proc",
                "--kill-child",
                "sh",
                "-ec",
                &script,
            ])
            .stdin(Stdio::piped())
            .spawn()
            .expect("unshare(1) of util-linux");
        unshare.stdin.take().unwrap().write_all(bytes).unwrap();
        let mut container = Self { unshare, init: 0 };
        container.init = container.wait_for_init();
        container
    }

    /// The writer has become `sleep` when its file is complete.
    fn wait_for_init(&self) -> u32 {
        let parent = self.unshare.id();
        let begun = std::time::Instant::now();
        while begun.elapsed() < hailo_support::PATIENCE {
            let children =
                std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            if let Ok(init) = children.trim().parse()
                && std::fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|comm| comm == "sleep\n")
            {
                return init;
            }
            std::thread::yield_now();
        }
        panic!("the container did not come up");
    }

    fn directory(&self) -> (u64, u64) {
        let found = std::fs::metadata(format!("/proc/{}/root/tmp/hmon_files", self.init)).unwrap();
        (found.dev(), found.ino())
    }

    fn stop(&mut self) {
        self.unshare.kill().unwrap();
        self.unshare.wait().unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.unshare.kill());
        drop(self.unshare.wait());
    }
}

fn can_run(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let is_required = skip_test::is_required("namespaces");
    skip_test::skip(if is_required { "namespaces" } else { "root" }, test);
    false
}

/// Whether this process holds the container's directory open.
fn is_held(directory: (u64, u64)) -> bool {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut open = descriptors.filter_map(|entry| std::fs::metadata(entry.path()).ok());
    open.any(|open| (open.dev(), open.ino()) == directory)
}

/// One test, because its counts cover the whole process.
#[test]
fn writers_in_containers_are_found_distinguished_and_released() {
    if !can_run("writers_in_containers_are_found_told_apart_and_let_go") {
        return;
    }
    let own_tmp = "mount -t tmpfs none /tmp";
    let host = Host::new().with_device();
    let mut settings = host.settings();
    settings.discover = true;
    let mut run = host.run(settings);
    run.once();

    // Both have the id 1 in their own namespace.
    let mut first = Container::new(own_tmp, "1abcdef", &monitor(1, 30.0, 30.0));
    let mut second = Container::new(own_tmp, "1abcdef", &monitor(1, 15.0, 20.0));
    let both = {
        let mut both = [first.init, second.init];
        both.sort_unstable();
        both
    };
    run.until("both containers", |points| is(points, DEVICE, 0.5));
    assert_eq!(pids(run.points(), PROCESS), both, "each by its id on the host");

    let directories = [first.directory(), second.directory()];
    assert!(directories.iter().all(|directory| is_held(*directory)));

    // It may exit between the two examinations of processes in one run: the readings end in that run, and the directory
    // is closed in the next.
    first.stop();
    run.until("the end of the first, with nothing of it held", |points| {
        is(points, DEVICE, 0.2) && !is_held(directories[0])
    });
    assert_eq!(pids(run.points(), PROCESS), [second.init]);
    second.stop();
    run.until("the end of the second, with nothing of it held", |points| {
        value(points, DEVICE).is_none() && !is_held(directories[1])
    });

    // A link in a container leads nowhere.
    let planted = "mount -t tmpfs none /tmp; mkdir /tmp/a; ln -s a /tmp/hmon_files";
    let attacker = Container::new(planted, "1abcdef", &monitor(1, 30.0, 30.0));
    let honest = Container::new(own_tmp, "1abcdef", &monitor(1, 15.0, 25.0));
    run.until("the honest one", |points| is(points, DEVICE, 0.25));
    assert_eq!(pids(run.points(), PROCESS), [honest.init]);
    drop((attacker, honest));

    // Two containers that share the host's directory, with the same id in it: the writer is ambiguous.
    std::fs::create_dir(host.dir()).unwrap();
    let shared = format!(
        "mount --bind {} /mnt; mount -t tmpfs none /tmp; mkdir /tmp/hmon_files; mount --move /mnt /tmp/hmon_files",
        host.dir().display()
    );
    let containers = [
        Container::new(&shared, "1abcdef", &monitor(1, 30.0, 30.0)),
        Container::new(&shared, "1abcdef", &monitor(1, 30.0, 30.0)),
    ];
    // Both lived before this write.
    write_in_place(&host.dir(), "1abcdef", &monitor(1, 30.0, 35.0));
    run.until("the ambiguous file", |points| is(points, DEVICE, 0.35));
    assert!(is(run.points(), PROCESS, 0.35), "shown");
    assert!(pids(run.points(), PROCESS).is_empty(), "without a process");
    drop(containers);
}
