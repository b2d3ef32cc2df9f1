//! The processes that have marked a device as in use.

use std::collections::BTreeMap;

use super::attribute_cache::{AttributeCache, Detail};
use super::device_table::{DeviceId, DeviceTable};
use super::drivers;
use super::holders::Holders;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Owner, Point, ProcessKey, Timestamp, Value};

/// One process a device, of drivers that take such a mark.
#[derive(Debug, Default)]
pub(super) struct DeviceOwners(BTreeMap<DeviceId, ProcessKey>);

impl DeviceOwners {
    pub(super) fn set(&mut self, device: DeviceId, process: ProcessKey) {
        self.0.insert(device, process);
    }

    /// Removes the processes that have ended or closed the device. Returns whether there were any.
    pub(super) fn update(&mut self, processes: &Processes, holders: &Holders, devices: &DeviceTable) -> bool {
        let before = self.0.len();
        self.0.retain(|id, process| {
            let number = devices.newest(*id).map(|device| device.number);
            let holds = number.is_some_and(|number| holders.of(number).any(|holder| holder == *process));
            processes.is_alive(*process) && (holds || !holders.is_complete())
        });
        self.0.len() != before
    }

    pub(super) fn points(&self, attributes: &mut AttributeCache, devices: &DeviceTable, time: Timestamp) -> Vec<Point> {
        let point = |(id, process): (&DeviceId, &ProcessKey)| {
            let instruments = drivers::of(devices.newest(*id)?.family).arguments()?;
            Some(Point {
                instrument: instruments.owner,
                attributes: attributes.get(devices, *id, Detail::Device)?,
                owner: Some(Owner::Process {
                    process: *process,
                    always_pid: true,
                }),
                value: Value::Int(1),
                time,
                start: None,
            })
        };
        self.0.iter().filter_map(point).collect()
    }
}
