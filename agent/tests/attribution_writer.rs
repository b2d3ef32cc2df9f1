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
/// Another user of the machine.
const OTHER: u32 = 12_345;

/// A process that is 1 in its own PID namespace, in its own mount namespace, and has written a file.
struct Container {
    unshare: Child,
    processes: Processes,
    init: u32,
}

impl Container {
    /// Mounts with `mount` (a shell command; the directory is `$1`), writes `$1/1` as its process 1 and stays.
    fn start(mount: &str) -> Self {
        Self::staying(mount, "sleep 1000")
    }

    /// The same, and stays as this command.
    fn staying(mount: &str, command: &str) -> Self {
        let script = format!("{mount} && echo x > {SEEN_AS}/1 && echo ready && exec {command}");
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
        Self::start(&shared(directory, ""))
    }

    fn files(&self) -> PathBuf {
        self.processes
            .path(self.init, "root")
            .join(SEEN_AS.trim_start_matches('/'))
    }

    /// Facts that a reader of the file has.
    fn hint(&self) -> WriterHint {
        let directory = std::fs::metadata(self.files()).unwrap();
        let file = std::fs::metadata(self.files().join("1")).unwrap();
        WriterHint {
            pid: 1,
            directory: (directory.dev(), directory.ino()),
            seen_as: vec!["/elsewhere".into(), SEEN_AS.into()],
            written: file.modified().unwrap().into(),
            user: Some(file.uid()),
            file: Some(("1".into(), file.ino())),
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

/// A command that mounts a directory of the host for the files, with these options.
fn shared(directory: &Path, options: &str) -> String {
    let directory = directory.display();
    format!(
        "mount --bind {options} {directory} /mnt && mount -t tmpfs none /tmp && mkdir {SEEN_AS} && mount --move /mnt {SEEN_AS}"
    )
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
fn of_two_processes_1_that_share_the_directory_the_file_s_owner_is_the_writer() {
    if !namespaces() {
        return;
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let other = format!("setpriv --reuid={OTHER} --clear-groups sleep 1000");
    let a = Container::sharing(directory.path());
    let b = Container::staying(&shared(directory.path(), ""), &other);
    let users = |container: &Container| container.processes.users(container.init).unwrap();
    while users(&b) != [OTHER; 4] {
        std::thread::yield_now();
    }
    let of = |user| WriterHint {
        user,
        file: Some(("other".into(), 0)),
        ..a.hint()
    };
    let key = |container: &Container| container.processes.key(container.init).unwrap();
    assert_eq!(a.find(&of(Some(0))), Writer::One(key(&a)));
    assert_eq!(a.find(&of(Some(OTHER))), Writer::One(key(&b)));
    for nobody in [Some(OTHER + 1), None] {
        assert!(matches!(a.find(&of(nobody)), Writer::Foreign(_)), "{nobody:?}");
    }
}

#[test]
fn a_volume_with_other_users_in_the_container_than_on_the_host_has_the_container_s() {
    if !namespaces() {
        return;
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let mapped = shared(directory.path(), &format!("-o X-mount.idmap=b:0:{OTHER}:1"));
    // mount(8) before 2.39 passes over the option.
    let check = format!("{mapped} && test $(stat -c %u {SEEN_AS}) = {OTHER}");
    let can = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &check])
        .output()
        .unwrap();
    if !can.status.success() {
        skip_test::skip(
            "idmap",
            &format!("mount(8) 2.39 makes them: {}", String::from_utf8_lossy(&can.stderr)),
        );
        return;
    }
    // As containers with a user namespace have it: its root is another user of the host, and the files on the disk are root's.
    let script = format!("{mapped} && chmod 777 {SEEN_AS} && cd {SEEN_AS} && touch /tmp/ready");
    let stay = format!("setpriv --reuid={OTHER} --clear-groups sh -c 'echo x >{SEEN_AS}/2; exec sleep 1000'");
    std::fs::write(directory.path().join("1"), "").unwrap();
    let container = Container::staying(&format!("{script} && mkdir -p /tmp/x"), &stay);
    let on_disk = loop {
        if let Ok(found) = std::fs::metadata(directory.path().join("2"))
            && found.len() > 0
        {
            break found;
        }
        std::thread::yield_now();
    };
    assert_eq!(on_disk.uid(), 0);
    let hint = WriterHint {
        written: on_disk.modified().unwrap().into(),
        user: Some(on_disk.uid()),
        file: Some(("2".into(), on_disk.ino())),
        ..container.hint()
    };
    let key = container.processes.key(container.init).unwrap();
    assert_eq!(container.find(&hint), Writer::One(key));
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
        user: Some(0),
        file: Some(("1".into(), 1)),
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
        user: Some(0),
        file: Some(("1".into(), 1)),
    };
    assert_eq!(writer::find(&processes, &hint).unwrap(), Writer::None);
}
