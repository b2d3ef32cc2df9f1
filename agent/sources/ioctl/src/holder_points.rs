//! The points that tell who holds a device open.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::device::Device;
use super::holders::Holders;
use accelscope_core::metric::catalogue::ioctl::DEVICE_PROCESSES;
use accelscope_core::metric::{Attributes, Owner, Point, Timestamp, Value, key};

/// Attributes of the devices, made when they change and not with every reading.
#[derive(Debug, Default)]
pub struct DeviceLabels(BTreeMap<u64, Arc<Attributes>>);

impl DeviceLabels {
    /// For these devices.
    pub fn new<'a>(devices: impl IntoIterator<Item = &'a Device>) -> Self {
        let labels = devices.into_iter().map(|device| {
            let id = device.hw_id.as_deref().map(|id| (key::HW_ID, id.into()));
            let name = [
                (key::ACCEL_DEVICE_NAME, device.name.as_str().into()),
                (key::ACCEL_DEVICE_FAMILY, device.family.name.into()),
            ];
            (device.number, Arc::new(Attributes::new(name.into_iter().chain(id))))
        });
        Self(labels.collect())
    }

    /// Of the device of that number.
    pub fn get(&self, number: u64) -> Option<&Arc<Attributes>> {
        self.0.get(&number)
    }
}

/// One point a device and holder, which attribution adds up by container and executable. A device that nobody holds has
/// one of 0 without an owner, if that is certain.
pub fn points(labels: &DeviceLabels, holders: &Holders, time: Timestamp) -> Vec<Point> {
    let mut points = Vec::new();
    for (number, attributes) in &labels.0 {
        let point = |owner: Option<Owner>| Point {
            instrument: &DEVICE_PROCESSES,
            attributes: Arc::clone(attributes),
            value: Value::Int(owner.is_some().into()),
            owner,
            time,
            start: None,
        };
        let before = points.len();
        points.extend(holders.of(*number).map(|process| {
            point(Some(Owner::Process {
                process,
                always_pid: false,
            }))
        }));
        if points.len() == before && holders.is_complete() {
            points.push(point(None));
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;
    use std::time::Instant;

    use super::*;
    use crate::Told;
    use accelscope_core::host::HostRoots;

    fn device(name: &str, number: u64) -> Device {
        Device {
            number,
            name: name.to_owned(),
            family: &crate::families::OTHER,
            module: None,
            abi: None,
            driver_version: None,
            address: None,
            hw_id: None,
            node: None,
            extra: true,
        }
    }

    #[test]
    fn each_holder_counts_once_and_an_idle_device_is_zero() {
        let full = rustix::fs::makedev(1, 7);
        // A number that no driver has.
        let idle = rustix::fs::makedev(1, 200);
        let devices = [device("full", full), device("idle", idle)];
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(File::open("/dev/full").unwrap())
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .spawn()
            .unwrap();
        let mut holders = Holders::new(&HostRoots::new("/"));
        holders.watch([full, idle]);
        holders.update(Told::ByEvents, None, Instant::now()).unwrap();
        let points = points(&DeviceLabels::new(&devices), &holders, Timestamp::now());
        child.kill().unwrap();
        child.wait().unwrap();

        let of = |name: &str| -> Vec<&Point> {
            let named = |point: &&Point| point.attributes.get(key::ACCEL_DEVICE_NAME) == Some(&name.into());
            points.iter().filter(named).collect()
        };
        let of_child = |point: &&&Point| {
            let Some(Owner::Process { process, .. }) = point.owner else {
                return false;
            };
            process.pid == child.id()
        };
        let full = of("full");
        let held: Vec<_> = full.iter().filter(of_child).collect();
        assert_eq!(held.len(), 1, "two descriptors of one process");
        assert_eq!(held[0].value, Value::Int(1));
        assert!(full.iter().all(|point| point.owner.is_some()));
        let idle: Vec<_> = of("idle")
            .iter()
            .map(|point| (point.value.clone(), point.owner.clone()))
            .collect();
        // Where a process may not be looked into, it cannot be known that nobody holds it.
        let expected = if holders.is_complete() {
            vec![(Value::Int(0), None)]
        } else {
            Vec::new()
        };
        assert_eq!(idle, expected);
    }
}
