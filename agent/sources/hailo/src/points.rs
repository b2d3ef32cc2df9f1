//! Points of devices and monitor files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::combine::{combine, sum};
use super::device::Device;
use super::identity::Identities;
use super::state::{File, Total};
use crate::catalogue as hailo;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, Timestamp, Value};

/// State from one batch to the next.
#[derive(Debug)]
pub(super) struct Points {
    devices: Identities,
    /// Frame counters of files without a known process: one series for all that share a name.
    unowned: HashMap<Arc<Attributes>, Total>,
    /// Whether a living process may write what cannot be read.
    pub(super) may_miss_a_writer: bool,
}

/// Values of a device over all live files.
#[derive(Debug, Default)]
struct Totalled<'a> {
    percent: Option<f64>,
    read: Option<Timestamp>,
    model: Option<&'a str>,
}

impl Points {
    pub(super) fn new(machine_id: String, node_name: String) -> Self {
        Self {
            devices: Identities::new(machine_id, node_name),
            unowned: HashMap::new(),
            may_miss_a_writer: false,
        }
    }

    /// Makes the points of a batch from the devices and the files with current values.
    pub(super) fn build(
        &mut self,
        devices: &BTreeMap<String, Device>,
        mut live: Vec<&mut File>,
        now: Timestamp,
    ) -> Vec<Point> {
        let totalled = total_of_devices(devices, &live);
        let models = totalled
            .iter()
            .map(|(address, device)| (*address, device.model))
            .collect();
        self.devices.update(devices, &models);
        let mut points = Vec::new();
        for (address, device) in &totalled {
            self.add_device(address, device, now, &mut points);
        }
        let mut unowned = Vec::new();
        for file in &mut live {
            let known = file.owner.process().is_some();
            self.add_file(file, if known { &mut points } else { &mut unowned });
        }
        self.add_unowned(live, &mut unowned);
        points.extend(combine(unowned));
        points
    }

    fn add_device(&self, address: &str, device: &Totalled<'_>, now: Timestamp, to: &mut Vec<Point>) {
        let Some(identity) = self.devices.get(address) else {
            return;
        };
        to.push(point(&hailo::DEVICE_INFO, &identity.info, None, 1i64, now));
        if device.read.is_some() || !self.may_miss_a_writer {
            let active = i64::from(device.read.is_some());
            to.push(point(&hailo::MONITOR_ACTIVE, &identity.label, None, active, now));
        }
        if let (Some(percent), Some(read)) = (device.percent, device.read) {
            to.push(point(
                &hw::NPU_UTILIZATION,
                &identity.label,
                None,
                (percent / 100.0).min(1.0),
                read,
            ));
        }
    }

    fn add_file(&self, file: &mut File, to: &mut Vec<Point>) {
        let process = file.owner.process();
        let owner = |always_pid| process.map(|process| Owner::Process { process, always_pid });
        if let Some(process) = process {
            file.assign_totals(process);
        }
        let mut labels = std::mem::take(&mut file.labels);
        let Some(latest) = file.latest() else { return };
        let (reading, read) = (&latest.reading, latest.read);
        let mut push = |instrument, attributes: &Arc<Attributes>, owner, value: Option<Value>| {
            to.extend(value.map(|value| point(instrument, attributes, owner, value, read)));
        };
        for (address, device) in &reading.devices {
            // What somebody says of another's process is no part of any process.
            let Some(identity) = self.devices.get(address).filter(|_| !file.owner.is_foreign()) else {
                continue;
            };
            let utilization = device.percent.map(|percent| percent / 100.0);
            push(
                &hailo::PROCESS_UTILIZATION,
                &identity.label,
                owner(true),
                utilization.map(Value::from),
            );
        }
        // With several devices, the file does not have the one that a network runs on.
        let mut named = reading.devices.keys();
        let device = match (named.next(), named.next()) {
            (Some(address), None) => self.devices.get(address).map(|identity| Arc::clone(&identity.id)),
            _ => None,
        };
        labels.set_device(device);
        for (name, network) in &reading.networks {
            let attributes = labels.network(name);
            let values = [
                (
                    &hailo::NETWORK_UTILIZATION,
                    network.percent.map(|percent| percent / 100.0),
                ),
                (&hailo::NETWORK_FRAME_RATE, network.frame_rate),
            ];
            for (instrument, value) in values {
                push(instrument, &attributes, owner(false), value.map(Value::from));
            }
        }
        for (name, stream) in &reading.streams {
            let attributes = labels.stream(name);
            let values = [
                (&hailo::STREAM_QUEUE_DEPTH, stream.depth),
                (&hailo::STREAM_QUEUE_DEPTH_MIN, stream.min),
                (&hailo::STREAM_QUEUE_DEPTH_MAX, stream.max),
                (&hailo::STREAM_QUEUE_CAPACITY, stream.capacity),
            ];
            for (instrument, value) in values {
                push(instrument, &attributes, owner(false), value.map(Value::from));
            }
        }
        for name in reading.networks.keys().filter(|_| process.is_some()) {
            if let Some(total) = file.totals.get(name) {
                to.push(counter(&labels.network(name), owner(false), *total, read));
            }
        }
        file.labels = labels;
    }

    /// Adds the counters of files without a known process. The growth of each goes into one that files with the same names
    /// share, and that stays when one of them is removed.
    fn add_unowned(&mut self, live: Vec<&mut File>, to: &mut Vec<Point>) {
        let mut shown = HashMap::new();
        for file in live.into_iter().filter(|file| file.owner.process().is_none()) {
            let Some(latest) = file.latest() else { continue };
            let (names, read) = (latest.reading.networks.keys().cloned().collect::<Vec<_>>(), latest.read);
            for name in names {
                let Some(total) = file.totals.get_mut(&name) else {
                    continue;
                };
                let attributes = file.labels.network(&name);
                let start = if total.exported > 0.0 { read } else { total.start };
                let grown = total.export_elsewhere();
                let sum = self
                    .unowned
                    .entry(Arc::clone(&attributes))
                    .or_insert(Total::from(start));
                sum.frames += grown;
                let latest: &mut Timestamp = shown.entry(attributes).or_insert(read);
                *latest = read.max(*latest);
            }
        }
        self.unowned.retain(|attributes, _| shown.contains_key(attributes));
        for (attributes, total) in &self.unowned {
            to.push(counter(attributes, None, *total, shown[attributes]));
        }
    }
}

fn total_of_devices<'a>(
    devices: &'a BTreeMap<String, Device>,
    live: &'a [&mut File],
) -> BTreeMap<&'a str, Totalled<'a>> {
    let mut totalled: BTreeMap<&str, Totalled<'_>> = devices
        .keys()
        .map(|address| (address.as_str(), Totalled::default()))
        .collect();
    let only = devices.keys().next().filter(|_| devices.len() == 1);
    // Files of somebody who claims another's process count only where there are no others.
    let (foreign, believed): (Vec<_>, Vec<_>) = live.iter().partition(|file| file.owner.is_foreign());
    let has_others: BTreeSet<&str> = believed
        .iter()
        .filter_map(|file| file.latest())
        .flat_map(|latest| latest.reading.devices.keys().map(String::as_str))
        .collect();
    let with_foreign = believed
        .iter()
        .map(|file| (false, file))
        .chain(foreign.iter().map(|file| (true, file)));
    for (is_foreign, latest) in with_foreign.filter_map(|(is_foreign, file)| Some((is_foreign, file.latest()?))) {
        for (address, found) in &latest.reading.devices {
            if is_foreign && has_others.contains(address.as_str()) {
                continue;
            }
            let device = totalled.entry(address).or_default();
            device.read = device.read.max(Some(latest.read));
            device.percent = sum(device.percent, found.percent);
            device.model = device.model.or(found.model.as_deref());
        }
        // Before 4.13 a file has no devices; where there is only one, it is that one.
        let only = only.filter(|_| latest.reading.devices.is_empty());
        if let Some(device) = only.and_then(|only| totalled.get_mut(only.as_str())) {
            device.read = device.read.max(Some(latest.read));
        }
    }
    totalled
}

fn point(
    instrument: &'static Instrument,
    attributes: &Arc<Attributes>,
    owner: Option<Owner>,
    value: impl Into<Value>,
    time: Timestamp,
) -> Point {
    Point {
        instrument,
        attributes: Arc::clone(attributes),
        owner,
        value: value.into(),
        time,
        start: None,
    }
}

/// Whole frames; the fraction is kept for the next batch.
fn counter(attributes: &Arc<Attributes>, owner: Option<Owner>, total: Total, time: Timestamp) -> Point {
    let frames = Value::Int((total.frames - total.elsewhere).floor() as i64);
    Point {
        start: Some(total.start),
        ..point(&hailo::NETWORK_FRAMES, attributes, owner, frames, time)
    }
}

#[cfg(test)]
mod tests;
