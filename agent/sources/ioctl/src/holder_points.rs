//! The points of the processes that hold a device open.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::attribute_cache::{AttributeCache, Detail};
use super::device::Device;
use super::device_table::DeviceTable;
use super::holders::Holders;
use crate::catalogue::DEVICE_PROCESSES;
use accelscope_core::metric::{Owner, Point, Timestamp, Value};

/// One point for each device and holder, which attribution adds up by container and executable. A device without a holder
/// has one of 0 without an owner, if that is certain.
pub(super) fn points(
    devices: &BTreeMap<u64, Device>,
    table: &DeviceTable,
    attributes: &mut AttributeCache,
    holders: &Holders,
    time: Timestamp,
) -> Vec<Point> {
    let mut points = Vec::new();
    for (number, device) in devices {
        let id = table.id_of(device);
        let Some(attributes) = id.and_then(|id| attributes.get(table, id, Detail::Device)) else {
            continue;
        };
        let point = |owner: Option<Owner>| Point {
            instrument: &DEVICE_PROCESSES,
            attributes: Arc::clone(&attributes),
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
    use crate::Discovery;
    use accelscope_core::host::HostRoots;
    use accelscope_core::metric::key;

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
            .arg("1000")
            .stdin(File::open("/dev/full").unwrap())
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .spawn()
            .unwrap();
        let mut holders = Holders::new(&HostRoots::new("/"));
        holders.watch([full, idle]);
        holders.update(Discovery::Events, None, Instant::now()).unwrap();
        let devices: BTreeMap<u64, Device> = devices.map(|device| (device.number, device)).into();
        let mut table = DeviceTable::default();
        table.add(&devices);
        let points = points(
            &devices,
            &table,
            &mut AttributeCache::default(),
            &holders,
            Timestamp::now(),
        );
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
        // If access to a process is denied, the absence of holders is unknown.
        let expected = if holders.is_complete() {
            vec![(Value::Int(0), None)]
        } else {
            Vec::new()
        };
        assert_eq!(idle, expected);
    }
}
