//! Search for the writer of a file across real PID and mount namespaces. Needs root and unshare(1).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::host::writer::{self, Writer, WriterHint};
use accelscope_core::metric::Timestamp;

/// Where every container of these tests sees its files.
const SEEN_AS: &str = "/tmp/hmon_files";

/// A process that is 1 in its own PID namespace, in its own mount namespace, and has written a file.
struct Container {
    unshare: Child,
    processes: Processes,
    init: u32,
}

impl Container {
    /// Mounts with `mount` (a shell command; the directory is `$1`), writes `$1/1` as its process 1 and stays.
    fn start(mount: &str) -> Self {
        let script = format!("{mount} && echo x > {SEEN_AS}/1 && echo ready && exec sleep 1000");
        let mut unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--mount", "--kill-child", "sh", "-ec", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) of util-linux");
        let mut ready = [0; 6];
        unshare
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .expect("the container came up");
        assert_eq!(&ready, b"ready\n");
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let init = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        Self {
            unshare,
            processes: Processes::new(&HostRoots::new("/")),
            init,
        }
    }

    /// A container with a file system of its own for its files.
    fn with_own_files() -> Self {
        Self::start(&format!("mount -t tmpfs none /tmp && mkdir {SEEN_AS}"))
    }

    /// A container with the host's directory for its files.
    fn sharing(directory: &Path) -> Self {
        let directory = directory.display();
        Self::start(&format!(
            "mount --bind {directory} /mnt && mount -t tmpfs none /tmp && mkdir {SEEN_AS} && mount --move /mnt {SEEN_AS}"
        ))
    }

    fn files(&self) -> PathBuf {
        self.processes
            .path(self.init, "root")
            .join(SEEN_AS.trim_start_matches('/'))
    }

    /// Facts that a reader of the file has.
    fn hint(&self) -> WriterHint {
        let directory = std::fs::metadata(self.files()).unwrap();
        let written = std::fs::metadata(self.files().join("1")).unwrap().modified().unwrap();
        WriterHint {
            pid: 1,
            directory: (directory.dev(), directory.ino()),
            seen_as: vec!["/elsewhere".into(), SEEN_AS.into()],
            written: written.into(),
        }
    }

    fn find(&self, hint: &WriterHint) -> Writer {
        writer::find(&self.processes, hint).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // unshare(1) waits for it, so that nothing of it is left when this returns.
        if let Some(init) = rustix::process::Pid::from_raw(self.init as i32) {
            rustix::process::kill_process(init, rustix::process::Signal::KILL).ok();
        }
        self.unshare.wait().ok();
    }
}

/// Whether namespaces can be created here; if not, prints the reason.
fn namespaces() -> bool {
    let can = Command::new("unshare")
        .args(["--pid", "--fork", "--mount", "mount", "-t", "tmpfs", "none", "/tmp"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !can {
        skip_test::skip(
            "namespaces",
            "needs root, unshare(1) and the right to make PID and mount namespaces",
        );
    }
    can
}

#[test]
fn each_of_two_processes_1_is_the_writer_in_its_own_directory() {
    if !namespaces() {
        return;
    }
    let (a, b) = (Container::with_own_files(), Container::with_own_files());
    for container in [&a, &b] {
        let key = container.processes.key(container.init).unwrap();
        assert_eq!(container.processes.ns_pids(container.init).unwrap().last(), Some(&1));
        assert_eq!(container.find(&container.hint()), Writer::One(key));
    }
}

#[test]
fn two_processes_1_that_share_the_directory_cannot_be_distinguished() {
    if !namespaces() {
        return;
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let (a, b) = (
        Container::sharing(directory.path()),
        Container::sharing(directory.path()),
    );
    assert_eq!(a.hint().directory, b.hint().directory);
    assert_eq!(a.find(&a.hint()), Writer::Several(2));
    drop(b);
    assert_eq!(a.find(&a.hint()), Writer::One(a.processes.key(a.init).unwrap()));
}

#[test]
fn a_process_that_began_after_the_file_was_written_is_not_its_writer() {
    if !namespaces() {
        return;
    }
    let container = Container::with_own_files();
    let mut hint = container.hint();
    let started = container
        .processes
        .started(container.processes.key(container.init).unwrap())
        .unwrap();
    let earlier = Duration::from_millis(500).as_nanos() as u64;
    hint.written = Timestamp::from_unix_nanos(started.unix_nanos() - earlier);
    assert_eq!(container.find(&hint), Writer::None);
}

#[test]
fn a_writer_that_has_ended_is_none() {
    if !namespaces() {
        return;
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let container = Container::sharing(directory.path());
    let hint = container.hint();
    let processes = container.processes.clone();
    drop(container);
    assert_eq!(writer::find(&processes, &hint).unwrap(), Writer::None);
}

#[test]
fn a_link_inside_the_container_stays_inside() {
    if !namespaces() {
        return;
    }
    // The host has a directory where the container's link points to.
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    let target = outside.path().display();
    let container = Container::start(&format!(
        "mount -t tmpfs none /tmp && mount -t tmpfs none /var/tmp && mkdir {target} && ln -s {target} {SEEN_AS}"
    ));
    let seen = container
        .processes
        .path(container.init, "root")
        .join(outside.path().strip_prefix("/").unwrap());
    let inside = std::fs::metadata(seen).unwrap();
    let mut hint = WriterHint {
        pid: 1,
        directory: (inside.dev(), inside.ino()),
        seen_as: vec![SEEN_AS.into()],
        written: Timestamp::now(),
    };
    assert_eq!(
        container.find(&hint),
        Writer::One(container.processes.key(container.init).unwrap())
    );
    let host = std::fs::metadata(outside.path()).unwrap();
    hint.directory = (host.dev(), host.ino());
    assert_eq!(container.find(&hint), Writer::None);
}

#[test]
fn a_kernel_thread_is_no_writer_although_it_sees_the_hosts_directories() {
    let processes = Processes::new(&HostRoots::new("/"));
    let kthreadd = 2;
    if processes.command_name(kthreadd).ok().as_deref() != Some("kthreadd") {
        println!("SKIPPED: process 2 is not the kernel's here");
        return;
    }
    let root = std::fs::metadata("/tmp").unwrap();
    let hint = WriterHint {
        pid: kthreadd,
        directory: (root.dev(), root.ino()),
        seen_as: vec!["/tmp".into()],
        written: Timestamp::now(),
    };
    assert_eq!(writer::find(&processes, &hint).unwrap(), Writer::None);
}
