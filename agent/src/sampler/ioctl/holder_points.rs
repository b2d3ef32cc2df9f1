//! The points that tell who holds a device open.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::device::Device;
use super::holders::Holders;
use crate::metric::catalogue::ioctl::DEVICE_PROCESSES;
use crate::metric::{Attributes, Owner, Point, Timestamp, Value, key};

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
                (key::ACCEL_DEVICE_FAMILY, device.family.as_str().into()),
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
