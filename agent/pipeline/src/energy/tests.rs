use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use accelscope_core::budget::Budget;
use accelscope_core::energy::Idle;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Attribute, Attributes, Batch, Instrument, Point, Timestamp, key};

use super::{Energy, Settings};
use crate::attribution::{Attribution, Settings as Names};

mod accelerators;
mod conservation;
mod cpus;

/// A host of cgroup v2 with four processors.
struct Host {
    directory: tempfile::TempDir,
    energy: Energy,
    attribution: Attribution,
    now: Instant,
    clock: u64,
}

impl Host {
    fn new(idle: Idle) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path();
        write(host, "sys/fs/cgroup/cgroup.controllers", "cpu memory");
        write(host, "sys/devices/system/cpu/online", "0-2,5\n");
        let roots = HostRoots::new(host);
        let names = Names {
            name_timeout: Duration::ZERO,
            ..Names::default()
        };
        let settings = Settings {
            enabled: true,
            idle,
            sources: [("nvidia", accelerators::SOURCE)].into(),
        };
        Self {
            energy: Energy::new(settings, &Budget::default(), &roots),
            attribution: Attribution::new(&roots, names),
            directory,
            now: Instant::now(),
            clock: 1_700_000_000,
        }
    }

    /// CPU time of a control group of v2 and all within it.
    fn uses(&self, group: &str, time: Duration) {
        let path = format!("sys/fs/cgroup{group}/cpu.stat");
        let text = format!("usage_usec {}\nuser_usec 0\nsystem_usec 0\n", time.as_micros());
        write(self.directory.path(), &path, &text);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock += time.as_secs();
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_unix_nanos(self.clock * 1_000_000_000)
    }

    fn joules(&self, id: &str, kind: &'static str, joules: f64) -> Point {
        let mut point = self.point(
            &hw::ENERGY,
            &[(key::HW_ID, id.into()), (key::HW_TYPE, kind.into())],
            joules,
        );
        point.start = Some(Timestamp::from_unix_nanos(1));
        point
    }

    fn point(&self, instrument: &'static Instrument, attributes: &[Attribute], value: f64) -> Point {
        Point::new(
            instrument,
            Attributes::new(attributes.iter().cloned()),
            value,
            self.time(),
        )
    }

    /// A run of a sampler with one part; what is attributed, by the attributes' texts.
    fn run(&mut self, sampler: &'static str, part: &str, points: Vec<Point>) -> BTreeMap<String, f64> {
        let batches = [Batch::new(sampler, part, points)];
        let batch = self
            .energy
            .of_run(sampler, &batches, &[], &mut self.attribution, self.now);
        batch.map_or_else(BTreeMap::new, |batch| batch.points.iter().map(shown).collect())
    }
}

fn write(host: &Path, path: &str, text: &str) {
    let path = host.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Who, and how, and the value.
fn shown(point: &Point) -> (String, f64) {
    assert_eq!(*point.instrument, accel::ENERGY_ATTRIBUTED);
    let text = |key| point.attributes.text(key);
    let who = [key::CONTAINER_ID, key::K8S_POD_UID, key::SYSTEMD_UNIT]
        .into_iter()
        .find_map(text);
    let id = who.map(|who| who.chars().take(6).collect::<String>());
    let kind = text(key::HW_TYPE).unwrap();
    let source = text(key::ACCEL_ENERGY_SOURCE).unwrap();
    let how = text(key::ACCEL_ENERGY_METHOD).unwrap_or("nobody");
    let name = format!("{} {kind} {source} {how}", id.unwrap_or_else(|| "-".to_owned()));
    (name, point.value.as_f64().unwrap())
}

/// A container's id that begins with these letters.
fn id(begin: &str) -> String {
    format!("{begin:0<64}")
}

fn map(expected: &[(&str, f64)]) -> BTreeMap<String, f64> {
    expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}
