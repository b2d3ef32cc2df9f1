//! A host of files, and what a look at it has found.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use accelscope_core::holders::Holders;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;
use accelscope_core::metric::catalogue::accel;
use accelscope_core::metric::{Attributes, Owner, Part, Point, ProcessKey, Timestamp};
use accelscope_core::source::Context;

use crate::key::{ACCEL_HOLDER_REASON, ACCEL_HOLDER_RESOURCE, ACCEL_HOLDER_STALL, HW_ID};
use crate::{Sampler, Settings};

pub(super) const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(super) const POD: &str = "kubepods/burstable/pod11111111-2222-3333-4444-555555555555";
pub(super) const PERIOD: Duration = Duration::from_secs(10);

/// A host with one sampler of accelerators, `gpus`.
pub(super) struct Host {
    pub(super) tree: tempfile::TempDir,
    holders: Holders,
}

impl Host {
    pub(super) fn new() -> Self {
        let host = Self {
            tree: tempfile::tempdir().unwrap(),
            holders: Holders::of_samplers(vec!["gpus"]),
        };
        host.write("proc/stat", "cpu 1 2 3\nbtime 1000\n");
        host.write("sys/devices/system/cpu/possible", "0-7\n");
        host
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.tree.path().join(path)
    }

    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn write_all(&self, folder: &str, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.write(&format!("sys/fs/cgroup/{folder}/{name}"), text);
        }
    }

    /// The groups of `system.slice`, where there are some, end. They are kept elsewhere: the kernel's numbers of groups are not
    /// used again, those of directories on a disk may be.
    pub(super) fn end_slice(&self) {
        let mut former = (0..).map(|nth| self.path(&format!("former-{nth}")));
        let place = former.find(|path| !path.exists()).unwrap();
        match std::fs::rename(self.path("sys/fs/cgroup/system.slice"), place) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done.unwrap(),
        }
    }

    /// A process with one thread, in these groups.
    pub(super) fn process(&self, pid: u32, cgroup: &str, schedstat: &str) {
        self.write(&format!("proc/{pid}/cgroup"), cgroup);
        let zeros = "0 ".repeat(18);
        self.write(
            &format!("proc/{pid}/stat"),
            &format!("{pid} (python3) S {zeros}{pid} {zeros}0 0 0 0 0 0 0 0 0 0 0 0\n"),
        );
        self.write(&format!("proc/{pid}/task/{pid}/schedstat"), schedstat);
    }

    /// These processes hold `gpu-0`.
    pub(super) fn hold(&self, pids: impl IntoIterator<Item = u32>) {
        let point = |pid: u32| Point {
            owner: Some(Owner::Process {
                process: ProcessKey {
                    pid,
                    start_ticks: pid.into(),
                },
                always_pid: true,
            }),
            ..Point::new(
                &accel::PROCESS_MEMORY_USAGE,
                Attributes::new([(HW_ID, "gpu-0".into())]),
                1_i64,
                Timestamp::now(),
            )
        };
        let points: Vec<Point> = pids.into_iter().map(point).collect();
        self.holders.set(&Part::whole("gpus"), &points);
    }

    pub(super) fn sampler(&self) -> Sampler {
        let roots = HostRoots::new(self.tree.path());
        let context = Context {
            cgroups: Cgroups::new(&roots),
            holders: self.holders.clone(),
            roots,
            node_name: String::new(),
            once: false,
            per_process: false,
            sources: &[],
            faults: accelscope_core::faults::Faults::default(),
        };
        Sampler::new(Settings::default(), &context)
    }
}

/// Names and values of points, by their attributes where there are any; ratios and seconds are rounded.
pub(super) fn shown(points: &[Point]) -> BTreeMap<String, f64> {
    let keys = [ACCEL_HOLDER_REASON, ACCEL_HOLDER_RESOURCE, ACCEL_HOLDER_STALL, HW_ID];
    let name = |point: &Point| {
        let texts = keys.iter().filter_map(|key| point.attributes.text(key));
        std::iter::once(point.instrument.name)
            .chain(texts)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let value = |point: &Point| (point.value.as_f64().unwrap() * 1000.0).round() / 1000.0;
    points.iter().map(|point| (name(point), value(point))).collect()
}

#[track_caller]
pub(super) fn is(points: &[Point], expected: &[(&str, Option<f64>)]) {
    let shown = shown(points);
    for (name, value) in expected {
        assert_eq!(shown.get(*name).copied(), *value, "{name} in {shown:#?}");
    }
}

pub(super) fn look(sampler: &mut Sampler, at: Instant) -> Vec<Point> {
    sampler.group(at);
    sampler.look(at)
}

pub(super) fn v2(host: &Host, group: &str) {
    host.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
    let pressure =
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500\n";
    host.write_all(
        group,
        &[
            (
                "cpu.stat",
                "usage_usec 9000000\nuser_usec 1\nsystem_usec 1\nnr_periods 100\nnr_throttled 40\nthrottled_usec 2000000\n",
            ),
            ("cpu.max", "20000 100000\n"),
            ("cpu.pressure", pressure),
            ("memory.pressure", pressure),
            ("io.pressure", pressure),
            ("memory.current", "1048576\n"),
            ("memory.max", "max\n"),
            ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\noom_group_kill 0\n"),
        ],
    );
}
