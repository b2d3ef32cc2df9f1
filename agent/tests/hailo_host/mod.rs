//! A host with a Hailo, the program on it, and processes that could have written monitor files.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use accelscope_proto::hailo::{ProtoMon, ProtoMonDeviceInfo, ProtoMonInfo};
use prost::Message;
use serde_json::Value;

use crate::program_support::wait_for;

/// Another user of the machine.
pub(crate) const OTHER: u32 = 12_345;

/// A host with a Hailo that has the number of `/dev/full`, and the real processes.
pub(crate) struct Host {
    root: tempfile::TempDir,
    tmp: tempfile::TempDir,
    is_lasting: bool,
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
            tmp: tempfile::tempdir_in("/tmp").unwrap(),
            is_lasting: false,
        };
        for real in ["proc", "tmp", "dev"] {
            symlink(Path::new("/").join(real), host.root.path().join(real)).unwrap();
        }
        for open in [host.root.path(), host.tmp.path()] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(host.dir()).unwrap();
        host
    }

    pub(crate) fn with_device(self) -> Self {
        let device = self.root.path().join("sys/class/hailo_chardev/hailo0");
        fs::create_dir_all(&device).unwrap();
        for (name, value) in [
            ("board_location", "0001:01:00.0"),
            ("dev", "1:7"),
            ("device_id", "1e60:2864"),
        ] {
            fs::write(device.join(name), value).unwrap();
        }
        self
    }

    /// The values of a file that is written once do not age while a slow machine gets to them. For tests that are not about
    /// their age.
    pub(crate) fn lasting(mut self) -> Self {
        self.is_lasting = true;
        self
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.tmp.path().join("hmon_files")
    }

    pub(crate) fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            format!("host.root={}", self.root.path().display()),
            format!("hailo.dir={}", self.dir().display()),
            "hailo.discover=false".to_owned(),
        ];
        let others = ["ascend", "holders", "ioctl", "kmsg", "kubelet", "nvidia"];
        settings.extend(others.map(|source| format!("{source}.enabled=false")));
        settings.extend(self.is_lasting.then(|| "hailo.max_age=1h".to_owned()));
        settings
    }

    pub(crate) fn command(&self, program: &[&str], arguments: &[&str]) -> Command {
        let program: Vec<&str> = program.iter().copied().chain([env!("CARGO_BIN_EXE_agent")]).collect();
        let mut command = Command::new(program[0]);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.args(&program[1..]).args(arguments).stdin(Stdio::null());
        for setting in self.settings() {
            command.args(["--set", &setting]);
        }
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.command(&[], arguments).output().unwrap()
    }

    /// The points of one look.
    pub(crate) fn look(&self) -> Vec<Value> {
        let output = self.output(&["--stdout", "--once", "--format", "json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The file that the process wrote so long ago; 57% are used.
    pub(crate) fn file_of(&self, writer: &Writer, age: Duration) -> PathBuf {
        let path = self.dir().join(writer.name());
        put(&path, &message(writer.pid(), 57.0).encode_to_vec(), age);
        if rustix::process::geteuid().as_raw() != writer.user {
            chown(&path, Some(writer.user), None).unwrap();
        }
        path
    }
}

pub(crate) fn named<'a>(points: &'a [Value], name: &'a str) -> Vec<&'a Value> {
    points.iter().filter(|point| point["name"] == name).collect()
}

/// A process that holds the device and could have written a monitor file.
pub(crate) struct Writer {
    pub(crate) child: Child,
    user: u32,
}

impl Writer {
    pub(crate) fn new(interval: Option<&str>) -> Self {
        Self::of_user(rustix::process::geteuid().as_raw(), interval)
    }

    pub(crate) fn of_user(user: u32, interval: Option<&str>) -> Self {
        Self::of_program(Path::new("sleep"), user, interval)
    }

    /// A copy of `sleep` under another name.
    pub(crate) fn of_program(program: &Path, user: u32, interval: Option<&str>) -> Self {
        let mut command = Command::new(program);
        command.arg("600").env_clear().env("HAILO_MONITOR", "1");
        if user != rustix::process::geteuid().as_raw() {
            command.uid(user);
        }
        command.envs(interval.map(|interval| ("HAILO_MONITOR_TIME_INTERVAL", interval)));
        let child = command.stdin(File::open("/dev/full").unwrap()).spawn().unwrap();
        let writer = Self { child, user };
        // Until its exec it has the environment of this test.
        wait_for("the writer to start", || {
            let name = fs::read_to_string(format!("/proc/{}/comm", writer.pid())).ok()?;
            let own = program.file_name().unwrap().to_str().unwrap();
            (name.strip_suffix('\n') == Some(own)
                && fs::read(format!("/proc/{}/environ", writer.pid())).is_ok_and(|e| !e.is_empty()))
            .then_some(())
        });
        writer
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn name(&self) -> String {
        format!("{}aB3dEf", self.pid())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn message(pid: u32, percent: f64) -> ProtoMon {
    ProtoMon {
        pid: pid.to_string(),
        networks_infos: vec![ProtoMonInfo {
            network_name: "yolo".into(),
            fps: 30.0,
            utilization: percent,
        }],
        net_frames_infos: Vec::new(),
        device_infos: vec![ProtoMonDeviceInfo {
            device_id: "0001:01:00.0".into(),
            utilization: percent,
            device_arch: "HAILO8L".into(),
        }],
    }
}

pub(crate) fn put(path: &Path, bytes: &[u8], age: Duration) {
    fs::write(path, bytes).unwrap();
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

pub(crate) fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip_test::skip("root", test);
    }
    is_root
}
