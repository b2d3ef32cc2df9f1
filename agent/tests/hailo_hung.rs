//! The program and monitor directories on a file system that does not answer: FUSE whose server reads no request. As root.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod hailo_host;
mod program_support;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use free_port::free_address;
use hailo_host::{Host, Writer, is_root, message, put};
use program_support::{Running, get, wait_for};
use prost::Message;

/// A command that mounts what does not answer, as long as the shell or what it becomes lives.
fn hang(at: &str) -> String {
    format!("exec 9<>/dev/fuse; mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 hung {at}")
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

    /// Writes its file, with this frame rate.
    fn write(&self, fps: f64) {
        let mut message = message(self.pid(), 57.0);
        message.networks_infos[0].fps = fps;
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
        let script = format!("{}; exec sleep 600", hang(&at.display().to_string()));
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

/// What `doctor` says, if it ends.
fn doctor(host: &Host, settings: &[&str]) -> String {
    let mut command = host.command(&[], &["doctor"]);
    settings
        .iter()
        .for_each(|setting| drop(command.args(["--set", setting])));
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
    let shows = |fps: &str| {
        let body = get(pull, "/metrics")?.body;
        let mut lines = body.lines().filter(|line| line.starts_with("hailo_network_frame_rate"));
        lines.any(|line| line.ends_with(fps)).then_some(())
    };
    for fps in [31.0, 32.0] {
        wait_for("the other directory", || {
            container.write(fps);
            shows(&format!(" {fps}"))
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
        shows(" 30").and(shows(" 33"))
    });
}

#[test]
fn a_container_s_directory_that_does_not_answer_costs_nothing_but_itself() {
    if !can_hang("a_container_s_directory_that_does_not_answer_costs_nothing_but_itself") {
        return;
    }
    let host = Host::new().with_device();
    // As many as hold the threads of a pool that is shared.
    let hung: Vec<_> = (0..12).map(|_| Container::new(&hang("/tmp/hmon_files"))).collect();
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
    for fps in [31.0, 32.0] {
        wait_for("the directories that answer", || {
            container.write(fps);
            // It names the process of a container whose own view of the directory does not answer.
            let claim = host.dir().join(format!("{}zzzzzz", hung[0].pid()));
            put(&claim, &message(hung[0].pid(), 1.0).encode_to_vec(), Duration::ZERO);
            host.file_of(&writer, Duration::ZERO);
            let body = get(pull, "/metrics")?.body;
            let rates = body.lines().filter(|line| line.starts_with("hailo_network_frame_rate"));
            let rates: Vec<_> = rates.collect();
            let shows = |fps: &str| rates.iter().any(|line| line.ends_with(fps));
            (shows(&format!(" {fps}")) && shows(" 30")).then_some(())
        });
    }
    drop(above);
    let begun = Instant::now();
    let said = doctor(&host, &["hailo.discover=true"]);
    assert!(said.contains("/root/tmp/hmon_files did not answer within"), "{said}");
    assert!(begun.elapsed() < program_support::PATIENCE);
}
