//! A host, and a sampler of it with a clock of the test's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Batch, Point, Timestamp, key};
use accelscope_core::sampler::Outcome;
use tempfile::TempDir;

use crate::now::Now;
use crate::sampler::Sampler;
use crate::settings::Settings;

/// A host's root directory.
pub(super) struct Host(TempDir);

impl Host {
    pub(super) fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        for class in ["powercap", "hwmon", "thermal", "power_supply"] {
            fs::create_dir_all(host.path(&format!("sys/class/{class}"))).unwrap();
        }
        host.write("etc/machine-id", "0123456789abcdef0123456789abcdef");
        host.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        host
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(super) fn write(&self, path: &str, text: impl std::fmt::Display) {
        self.write_bytes(path, format!("{text}\n").as_bytes());
    }

    pub(super) fn write_bytes(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Registers a device in its class, as the kernel does: a link from the class to the directory below `sys/devices`.
    pub(super) fn register(&self, class: &str, device: &str, files: &[(&str, &str)]) {
        fs::create_dir_all(self.path("sys/devices").join(device)).unwrap();
        for (file, text) in files {
            self.write(&format!("sys/devices/{device}/{file}"), text);
        }
        let name = Path::new(device).file_name().unwrap();
        let target = Path::new("../../devices").join(device);
        symlink(target, self.path(&format!("sys/class/{class}")).join(name)).unwrap();
    }

    /// A zone of RAPL below `above` (`""`, or `intel-rapl:0/`).
    pub(super) fn zone(&self, driver: &str, above: &str, zone: &str, name: &str, energy: u64) {
        let device = format!("virtual/powercap/{driver}/{above}{zone}");
        let energy = energy.to_string();
        let files = [
            ("name", name),
            ("energy_uj", &energy),
            ("max_energy_range_uj", "262143328850"),
        ];
        self.register("powercap", &device, &files);
    }

    /// A chip on a device, which is a directory below `sys/devices`.
    pub(super) fn chip(&self, device: &str, number: u32, name: &str, files: &[(&str, &str)]) {
        let own = format!("{device}/hwmon/hwmon{number}");
        self.register("hwmon", &own, &[("name", name)]);
        for (file, text) in files {
            self.write(&format!("sys/devices/{own}/{file}"), text);
        }
        symlink("../..", self.path(&format!("sys/devices/{own}/device"))).unwrap();
    }

    /// It is kept elsewhere: sysfs does not use the number of a directory again, a disk may.
    pub(super) fn remove(&self, class: &str, device: &str) {
        let name = Path::new(device).file_name().unwrap();
        fs::remove_file(self.path(&format!("sys/class/{class}")).join(name)).unwrap();
        let mut former = (0..).map(|nth| self.path(&format!("former-{nth}")));
        let place = former.find(|path| !path.exists()).unwrap();
        fs::rename(self.path("sys/devices").join(device), place).unwrap();
    }

    pub(super) fn roots(&self) -> HostRoots {
        HostRoots::new(self.0.path())
    }

    pub(super) fn sampler(&self) -> Sampler {
        self.sampler_with(Settings::default())
    }

    pub(super) fn sampler_with(&self, settings: Settings) -> Sampler {
        Sampler::new(settings, &self.roots(), "node", false)
    }
}

/// So many seconds after the boot.
pub(super) fn at(seconds: u64) -> Now {
    Now {
        awake: Duration::from_secs(seconds),
        asleep: Duration::ZERO,
        wall: Timestamp::from_unix_nanos(seconds * 1_000_000_000),
    }
}

/// The points of one run. On a slow machine the sensors come with a later one.
pub(super) fn run(sampler: &mut Sampler, seconds: u64) -> Vec<Batch> {
    let begun = Instant::now();
    loop {
        let mut out = Vec::new();
        let outcome = sampler.run(|| at(seconds), &mut out);
        let has_no_sensors = !sampler.may_have_sensors();
        let is_whole = out.len() > 1 || has_no_sensors || matches!(outcome, Outcome::NothingHere(_));
        if is_whole {
            return out;
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{outcome:?}");
    }
}

/// Instrument, name and what else tells a series from others, and value, of one part.
pub(super) fn values(batches: &[Batch], part: &str) -> Vec<(String, f64)> {
    let points = batches
        .iter()
        .filter(|batch| *batch.part.name == *part)
        .flat_map(|batch| &batch.points);
    let mut values: Vec<(String, f64)> = points
        .map(|point| (describe(point), point.value.as_f64().unwrap()))
        .collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    values
}

fn describe(point: &Point) -> String {
    let keys = [key::HW_NAME, key::HW_TYPE, key::HW_LIMIT_TYPE, key::HW_STATE];
    let texts = keys.into_iter().filter_map(|key| point.attributes.text(key));
    let name = std::iter::once(point.instrument.name);
    name.chain(texts).collect::<Vec<_>>().join(" ")
}

/// The points of an instrument of one part, by their names.
pub(super) fn points<'a>(batches: &'a [Batch], part: &str, instrument: &str) -> Vec<(&'a str, &'a Point)> {
    let points = batches
        .iter()
        .filter(|batch| *batch.part.name == *part)
        .flat_map(|batch| &batch.points);
    points
        .filter(|point| point.instrument.name == instrument)
        .map(|point| (point.attributes.text(key::HW_NAME).unwrap(), point))
        .collect()
}
