//! A host with a fake sysfs and the real processes, and a sampler that runs on it.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::{AttributeValue, Batch, Owner, Point, key};
use accelscope_core::sampler::{Outcome, Sampler as _};
use accelscope_hailo::{Sampler, Settings, hw_id};
use accelscope_proto::hailo::{ProtoMon, ProtoMonDeviceInfo, ProtoMonInfo};
use prost::Message;

const NODE: &str = "node";

/// Time limit of every wait.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Of this process alone: other tests of the machine hold `/dev/full` open too.
pub(crate) fn address() -> String {
    format!("{:04x}:01:00.0", std::process::id() & 0xffff)
}

/// A host: a `/sys` of its own with one device with the number of `/dev/full`, the real `/proc` and `/tmp`.
pub(crate) struct Host {
    root: tempfile::TempDir,
    pub(crate) tmp: tempfile::TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for real in ["proc", "tmp"] {
            std::os::unix::fs::symlink(Path::new("/").join(real), root.path().join(real)).unwrap();
        }
        Self {
            root,
            tmp: tempfile::tempdir_in("/tmp").unwrap(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn with_device(self) -> Self {
        let device = self.root.path().join("sys/class/hailo_chardev/hailo0");
        std::fs::create_dir_all(&device).unwrap();
        for (name, value) in [
            ("board_location", address().as_str()),
            ("dev", "1:7"),
            ("device_id", "1e60:2864"),
        ] {
            std::fs::write(device.join(name), value).unwrap();
        }
        self
    }

    pub(crate) fn with_dir(self) -> Self {
        std::fs::create_dir(self.dir()).unwrap();
        self
    }

    /// The configured directory.
    pub(crate) fn dir(&self) -> PathBuf {
        self.tmp.path().join("hmon_files")
    }

    /// Values do not age before they are waited for no longer: most tests write a file once, and a slow machine may need
    /// more than the usual 5 s to show it.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            dir: self.dir(),
            discover: false,
            max_age: Some(2 * PATIENCE),
            min_interval: Duration::ZERO,
            ..Settings::default()
        }
    }

    pub(crate) fn run(&self, settings: Settings) -> Run {
        let sampler = Sampler::new(settings, HostRoots::new(self.root.path()), NODE.to_owned());
        Run {
            sampler,
            batches: Vec::new(),
        }
    }
}

/// The points that one run of the agent would read.
pub(crate) struct Run {
    pub(crate) sampler: Sampler,
    pub(crate) batches: Vec<Batch>,
}

impl Run {
    pub(crate) fn once(&mut self) -> Outcome {
        self.sampler.sample(&mut self.batches)
    }

    pub(crate) fn points(&self) -> &[Point] {
        self.batches.last().map_or(&[], |batch| &batch.points)
    }

    /// Runs the sampler on its wakeups until the newest batch satisfies the condition.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&[Point]) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            self.once();
            if wanted(self.points()) {
                return begun.elapsed();
            }
            let shown: Vec<_> = self
                .points()
                .iter()
                .map(|point| (point.instrument.name, &point.value))
                .collect();
            assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}: {shown:?}");
            self.sampler.wait(Instant::now() + Duration::from_secs(1));
        }
    }
}

/// An idle process that was started with the monitor on.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn new() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("600").env("HAILO_MONITOR", "1").spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A monitor file of one device and one network.
pub(crate) fn monitor(pid: u32, fps: f64, percent: f64) -> Vec<u8> {
    ProtoMon {
        pid: pid.to_string(),
        networks_infos: vec![ProtoMonInfo {
            network_name: "yolo".into(),
            fps,
            utilization: percent,
        }],
        net_frames_infos: Vec::new(),
        device_infos: vec![ProtoMonDeviceInfo {
            device_id: address(),
            utilization: percent,
            device_arch: "HAILO8L".into(),
        }],
    }
    .encode_to_vec()
}

/// As HailoRT up to 4.21 writes.
pub(crate) fn write_in_place(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(name), bytes).unwrap();
}

/// As HailoRT from 4.22 on writes.
pub(crate) fn write_and_rename(dir: &Path, name: &str, bytes: &[u8]) {
    let temporary = dir.join(format!("{name}.tmp"));
    std::fs::write(&temporary, bytes).unwrap();
    std::fs::rename(temporary, dir.join(name)).unwrap();
}

/// The points of that name of our device.
fn ours<'a>(points: &'a [Point], name: &'a str) -> impl Iterator<Item = &'a Point> {
    let id = AttributeValue::from(hw_id(&address(), "", NODE));
    points
        .iter()
        .filter(move |point| point.instrument.name == name && point.attributes.get(key::HW_ID) == Some(&id))
}

/// The value of the only point of that name.
pub(crate) fn value(points: &[Point], name: &str) -> Option<f64> {
    let mut found = ours(points, name);
    let value = found.next()?.value.as_f64();
    assert!(found.next().is_none(), "several points of {name}");
    value
}

pub(crate) fn is(points: &[Point], name: &str, wanted: f64) -> bool {
    value(points, name).is_some_and(|found| (found - wanted).abs() < 1e-9)
}

/// The processes of the points of that name.
pub(crate) fn pids(points: &[Point], name: &str) -> Vec<u32> {
    let mut pids: Vec<u32> = ours(points, name)
        .filter_map(|point| match &point.owner {
            Some(Owner::Process { process, .. }) => Some(process.pid),
            _ => None,
        })
        .collect();
    pids.sort_unstable();
    pids
}
