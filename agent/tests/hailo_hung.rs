//! The program and monitor directories on a file system that does not answer: FUSE whose server reads no request. As root.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use free_port::free_address;
use hailo_host::{Host, Writer, is_root, message, put};
use program_support::{Running, get, wait_for};
use prost::Message;

/// A command that mounts what does not answer, as long as the shell or what it becomes lives.
fn hang(at: &str) -> String {
    hang_as("40000", at)
}

/// The same with the file type of the mount in octal.
fn hang_as(mode: &str, at: &str) -> String {
    format!("exec 9<>/dev/fuse; mount -i -t fuse -o fd=9,rootmode={mode},user_id=0,group_id=0 hung {at}")
}

/// A process in a mount namespace of its own that holds the device, with this `/tmp/hmon_files`.
struct Container(Running);

impl Container {
    fn new(files: &str) -> Self {
        let script = format!(
            "exec 3</dev/full; mount -t tmpfs none /tmp; mkdir /tmp/hmon_files; {files}; exec sleep 600 </dev/null"
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", &script]).stdin(Stdio::null());
        let mut container = Self(Running::start(command));
        wait_for("the container", || {
            assert!(container.0.0.try_wait().unwrap().is_none(), "it ended");
            let comm = fs::read_to_string(format!("/proc/{}/comm", container.0.0.id())).ok()?;
            (comm == "sleep\n").then_some(())
        });
        container
    }

    fn pid(&self) -> u32 {
        self.0.0.id()
    }

    /// Writes its file: so much per cent of the device are used.
    fn write(&self, percent: f64) {
        let message = message(self.pid(), percent);
        let dir = format!("/proc/{}/root/tmp/hmon_files", self.pid());
        put(
            &Path::new(&dir).join(format!("{}aB3dEf", self.pid())),
            &message.encode_to_vec(),
            Duration::ZERO,
        );
    }
}

fn can_hang(test: &str) -> bool {
    if !is_root(test) {
        return false;
    }
    let script = format!("mount -t tmpfs none /mnt; {}", hang("/mnt"));
    let mount = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &script])
        .output()
        .unwrap();
    if !mount.status.success() {
        skip_test::skip("fuse", &String::from_utf8_lossy(&mount.stderr));
    }
    mount.status.success()
}

/// Something that is mounted there and does not answer.
struct Hung<'a> {
    server: Running,
    at: &'a Path,
}

impl<'a> Hung<'a> {
    fn new(at: &'a Path) -> Self {
        let mode = if at.is_dir() { "40000" } else { "100000" };
        let script = format!("{}; exec sleep 600", hang_as(mode, &at.display().to_string()));
        let mut command = Command::new("sh");
        command.args(["-ec", &script]);
        let server = Running::start(command);
        let hung = Self { server, at };
        wait_for("the mount", || {
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
            mounts.contains(&at.display().to_string()).then_some(())
        });
        hung
    }
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        // Without its server all requests fail.
        self.server.0.kill().ok();
        self.server.0.wait().ok();
        Command::new("umount").arg("-l").arg(self.at).status().ok();
    }
}

/// Whether so much per cent of the device are used by that process.
fn shows(pull: SocketAddr, pid: u32, percent: f64) -> Option<()> {
    let body = get(pull, "/metrics")?.body;
    let pid = format!("process_pid=\"{pid}\"");
    let mut lines = body
        .lines()
        .filter(|line| line.starts_with("hailo_process_utilization_ratio{") && line.contains(&pid));
    let value: f64 = lines.next()?.rsplit_once(' ')?.1.parse().ok()?;
    ((value - percent / 100.0).abs() < 1e-9).then_some(())
}

/// What `doctor` says, if it ends.
fn doctor(host: &Host, settings: &[&str]) -> String {
    let mut command = host.command(&[], &["doctor"]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut doctor = Running::start(command);
    doctor.exit_code();
    let mut text = String::new();
    doctor.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_configured_directory_that_does_not_answer_costs_nothing_but_itself() {
    if !can_hang("the_configured_directory_that_does_not_answer_costs_nothing_but_itself") {
        return;
    }
    let host = Host::new().with_device();
    let dir = host.dir();
    let hung = Hung::new(&dir);
    let container = Container::new("true");
    container.write(31.0);
    let discover = "hailo.discover=true";
    let said = doctor(&host, &[discover]);
    assert!(
        said.contains(&format!("{} did not answer within", dir.display())),
        "{said}"
    );
    assert!(said.contains("umount -l"), "{said}");

    let (pull, log) = (free_address(), dir.join("../log"));
    let mut command = host.command(&[], &[]);
    for setting in [&format!("http.listen={pull}"), "otlp.enabled=false", discover] {
        command.args(["--set", setting]);
    }
    command.stderr(fs::File::create(&log).unwrap());
    let _agent = Running::start(command);
    for percent in [31.0, 32.0] {
        wait_for("the other directory", || {
            container.write(percent);
            shows(pull, container.pid(), percent)
        });
    }
    wait_for("the log to name it", || {
        let log = fs::read_to_string(&log).unwrap();
        log.contains(&format!("{} does not answer", dir.display()))
            .then_some(())
    });

    drop(hung);
    let writer = Writer::new(None);
    wait_for("the directory when it answers", || {
        host.file_of(&writer, Duration::ZERO);
        container.write(33.0);
        shows(pull, writer.pid(), 57.0).and(shows(pull, container.pid(), 33.0))
    });
}

/// fusermount(1) lets users mount on files that are theirs.
#[test]
fn a_single_file_that_does_not_answer_costs_nothing_but_itself() {
    if !can_hang("a_single_file_that_does_not_answer_costs_nothing_but_itself") {
        return;
    }
    let host = Host::new().with_device();
    let stranger = Writer::new(None);
    let file = host.dir().join(format!("{}zzzzzz", stranger.pid()));
    put(&file, &message(stranger.pid(), 3.0).encode_to_vec(), Duration::ZERO);
    let _hung = Hung::new(&file);
    let writer = Writer::new(None);
    host.file_of(&writer, Duration::ZERO);
    let said = doctor(&host, &[]);
    assert!(said.contains("is mounted from another file system"), "{said}");

    let pull = free_address();
    let mut command = host.command(&[], &[]);
    for setting in [&format!("http.listen={pull}"), "otlp.enabled=false"] {
        command.args(["--set", setting]);
    }
    command.stderr(Stdio::null());
    let _agent = Running::start(command);
    for _ in 0..2 {
        wait_for("the file that answers", || {
            host.file_of(&writer, Duration::ZERO);
            shows(pull, writer.pid(), 57.0)
        });
    }
    let other = Writer::new(None);
    wait_for("another, which comes later", || {
        host.file_of(&other, Duration::ZERO);
        host.file_of(&writer, Duration::ZERO);
        shows(pull, other.pid(), 57.0)
    });
}

#[test]
fn a_container_s_directory_that_does_not_answer_costs_nothing_but_itself() {
    if !can_hang("a_container_s_directory_that_does_not_answer_costs_nothing_but_itself") {
        return;
    }
    let host = Host::new().with_device();
    // As many as hold the threads of a pool that is shared.
    let _hung: Vec<_> = (0..12).map(|_| Container::new(&hang("/tmp/hmon_files"))).collect();
    let above = Container::new(&hang("/tmp"));
    let container = Container::new("true");
    container.write(31.0);
    let writer = Writer::new(None);
    let pull = free_address();
    let mut command = host.command(&[], &[]);
    for setting in [
        &format!("http.listen={pull}"),
        "otlp.enabled=false",
        "hailo.discover=true",
    ] {
        command.args(["--set", setting]);
    }
    command.stderr(Stdio::null());
    let _agent = Running::start(command);
    for percent in [31.0, 32.0] {
        wait_for("the directories that answer", || {
            container.write(percent);
            // It names the process of a container whose own view of the directory does not answer.
            let claim = host.dir().join(format!("{}zzzzzz", above.pid()));
            put(&claim, &message(above.pid(), 1.0).encode_to_vec(), Duration::ZERO);
            host.file_of(&writer, Duration::ZERO);
            shows(pull, container.pid(), percent).and(shows(pull, writer.pid(), 57.0))
        });
    }
    drop(above);
    let said = doctor(&host, &["hailo.discover=true"]);
    assert!(said.contains("/root/tmp/hmon_files did not answer within"), "{said}");
}
