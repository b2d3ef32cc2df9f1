//! Devices that leave the bus and come back, on a tree that stands for the host.

use super::*;
use accelscope_core::metric::{Value, key};
use tempfile::TempDir;

const UUID: &str = "GPU-6b7c0000-1111-2222-3333-444455556666";
const MINUTE: Duration = Duration::from_mins(1);

struct Host {
    root: TempDir,
    tally: Tally,
    faults: Faults,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let faults = Faults::default();
        faults.log_begins(Timestamp::now());
        let tally = Tally::new(HostRoots::new(root.path()), "node".to_owned(), faults.clone());
        Self {
            root,
            tally,
            faults,
            now: Instant::now(),
        }
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn plug(&self, address: &str, vendor: &str, driver: &str, uuid: Option<&str>) {
        let directory = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{directory}/vendor"), &format!("{vendor}\n"));
        self.file(&format!("{directory}/class"), "0x030200\n");
        let link = self.root.path().join(directory).join("driver");
        std::os::unix::fs::symlink(std::path::Path::new("/sys/bus/pci/drivers").join(driver), link).unwrap();
        if driver == "nvidia" {
            let uuid = uuid.unwrap_or("GPU-????????-????-????-????-????????????");
            self.file(
                &format!("proc/driver/nvidia/gpus/{address}/information"),
                &format!("GPU UUID: \t {uuid}\n"),
            );
        }
    }

    fn unplug(&self, address: &str) {
        let root = self.root.path();
        std::fs::remove_dir_all(root.join("sys/bus/pci/devices").join(address)).unwrap();
        std::fs::remove_dir_all(root.join("proc/driver/nvidia/gpus").join(address)).ok();
    }

    fn fault(&mut self, address: &str, kind: Kind, code: Option<i64>) {
        let now = Timestamp::now();
        let found = Found {
            kind,
            code,
            whose: Whose::Pci(Pci::parse(address).unwrap()),
            process: None,
            micros: 0,
            time: now,
            counts_since: Some(now),
        };
        self.tally.count(&found, &mut Skipped::default());
    }

    /// Looks, and emits, that much later.
    fn later(&mut self, time: Duration) -> Vec<Point> {
        self.now += time;
        self.tally.look(self.now, Duration::ZERO);
        self.tally.points(self.now, Timestamp::now())
    }
}

/// Values of the counts of that kind and code.
fn counts(points: &[Point], kind: &str, code: Option<i64>) -> Vec<Value> {
    let is_of = |point: &&Point| {
        point.instrument.name == hw::ERRORS.name
            && point.attributes.text(key::ERROR_TYPE) == Some(kind)
            && code.is_none_or(|code| point.attributes.get(key::NVIDIA_XID) == Some(&code.into()))
    };
    points.iter().filter(is_of).map(|point| point.value.clone()).collect()
}

fn last_seen(points: &[Point]) -> usize {
    let is_of =
        |point: &&Point| point.instrument.name == accelscope_core::metric::catalogue::accel::FAULT_LAST_SEEN.name;
    points.iter().filter(is_of).count()
}

#[test]
fn a_fault_of_a_device_that_left_before_it_was_emitted_is_emitted_for_ten_minutes() {
    let mut host = Host::new();
    host.plug("0000:3b:00.0", "0x10de", "nvidia", Some(UUID));
    host.plug("0000:03:00.0", "0x1002", "amdgpu", None);
    host.later(MINUTE);
    host.fault("0000:3b:00.0", Kind::Xid, Some(79));
    host.fault("0000:03:00.0", Kind::Reset, None);
    host.unplug("0000:3b:00.0");
    host.unplug("0000:03:00.0");
    for _ in 0..9 {
        let points = host.later(MINUTE);
        assert_eq!(counts(&points, "xid", Some(79)), [Value::Int(1)]);
        assert_eq!(counts(&points, "reset", None), [Value::Int(1)]);
        assert_eq!(last_seen(&points), 2);
    }
    assert!(host.later(2 * MINUTE).is_empty());
    assert!(host.tally.is_empty());
}

#[test]
fn what_was_counted_of_a_device_that_left_is_never_dropped_before_it_is_emitted() {
    let mut host = Host::new();
    host.plug("0000:03:00.0", "0x1002", "amdgpu", None);
    host.later(MINUTE);
    host.unplug("0000:03:00.0");
    host.tally.look(host.now + MINUTE, Duration::ZERO);
    host.fault("0000:03:00.0", Kind::Reset, None);
    let points = host.later(20 * MINUTE);
    assert_eq!(counts(&points, "reset", None), [Value::Int(1)]);
    assert!(host.later(MINUTE).is_empty());
}

#[test]
fn a_device_that_comes_back_goes_on_and_another_one_at_its_place_begins() {
    const OTHER: &str = "GPU-ffff0000-1111-2222-3333-444455556666";
    for (uuid, expected, seen) in [(Some(UUID), 1, 1), (None, 1, 1), (Some(OTHER), 0, 0)] {
        let mut host = Host::new();
        host.plug("0000:3b:00.0", "0x10de", "nvidia", Some(UUID));
        host.later(MINUTE);
        host.fault("0000:3b:00.0", Kind::DeviceLost, None);
        host.unplug("0000:3b:00.0");
        host.later(MINUTE);
        host.plug("0000:3b:00.0", "0x10de", "nvidia", uuid);
        let points = host.later(MINUTE);
        assert_eq!(counts(&points, "device_lost", None), [Value::Int(expected)], "{uuid:?}");
        assert_eq!(last_seen(&points), seen, "{uuid:?}");
    }
}

#[test]
fn a_device_that_comes_back_at_another_address_has_each_series_once() {
    let mut host = Host::new();
    host.plug("0000:3b:00.0", "0x10de", "nvidia", Some(UUID));
    host.later(MINUTE);
    host.fault("0000:3b:00.0", Kind::DeviceLost, None);
    host.unplug("0000:3b:00.0");
    host.plug("0000:5c:00.0", "0x10de", "nvidia", Some(UUID));
    let points = host.later(MINUTE);
    assert_eq!(counts(&points, "device_lost", None), [Value::Int(1)]);
    assert_eq!(counts(&points, "xid", Some(79)), [Value::Int(0)]);
    assert!(
        points
            .iter()
            .all(|point| point.attributes.text(key::HW_ID) == Some(UUID))
    );
    assert!(host.faults.log_since().is_some());
}

#[test]
fn a_device_whose_place_another_function_has_taken_ends_too() {
    let mut host = Host::new();
    host.plug("0000:03:00.0", "0x1002", "amdgpu", None);
    host.later(MINUTE);
    host.unplug("0000:03:00.0");
    host.later(MINUTE);
    host.plug("0000:03:00.0", "0x15b3", "mlx5_core", None);
    assert_eq!(counts(&host.later(MINUTE), "reset", None), [Value::Int(0)]);
    assert!(host.later(10 * MINUTE).is_empty());
    assert!(host.tally.is_empty());
}
