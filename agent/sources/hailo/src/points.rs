//! Points from what is known of devices and files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::combine::combine;
use super::device::Device;
use super::identity::Identities;
use super::reading::combined;
use super::state::{File, Total};
use accelscope_core::metric::catalogue::{hailo, hw};
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, ProcessKey, Timestamp, Value};

/// What lasts from one batch to the next.
#[derive(Debug)]
pub(super) struct Points {
    devices: Identities,
    /// Frame counters of files without a known process: one series for all that share a name.
    unowned: HashMap<Arc<Attributes>, Total>,
}

/// A file whose values are shown.
#[derive(Debug)]
pub(super) struct Live<'a> {
    pub(super) file: &'a mut File,
    pub(super) process: Option<ProcessKey>,
}

/// What the live files say of a device together.
#[derive(Debug, Default)]
struct Together<'a> {
    utilization: Option<f64>,
    read: Option<Timestamp>,
    model: Option<&'a str>,
}

impl Points {
    pub(super) fn new(machine_id: String, node_name: String) -> Self {
        Self {
            devices: Identities::new(machine_id, node_name),
            unowned: HashMap::new(),
        }
    }

    /// Everything that is true now.
    pub(super) fn build(
        &mut self,
        devices: &BTreeMap<String, Device>,
        mut live: Vec<Live<'_>>,
        now: Timestamp,
    ) -> Vec<Point> {
        let together = together(devices, &live);
        let models = together
            .iter()
            .map(|(address, together)| (*address, together.model))
            .collect();
        self.devices.update(devices, &models);
        let mut points = Vec::new();
        for (address, together) in &together {
            self.of_device(address, together, now, &mut points);
        }
        let mut unowned = Vec::new();
        for file in &mut live {
            let to = if file.process.is_some() {
                &mut points
            } else {
                &mut unowned
            };
            self.of_file(file, to);
        }
        self.add_unowned(live, &mut unowned);
        points.extend(combine(unowned));
        points
    }

    fn of_device(&self, address: &str, together: &Together<'_>, now: Timestamp, to: &mut Vec<Point>) {
        let Some(identity) = self.devices.get(address) else {
            return;
        };
        to.push(point(&hailo::DEVICE_INFO, &identity.info, None, 1i64, now));
        let active = i64::from(together.read.is_some());
        to.push(point(&hailo::MONITOR_ACTIVE, &identity.label, None, active, now));
        if let (Some(utilization), Some(read)) = (together.utilization, together.read) {
            to.push(point(
                &hw::NPU_UTILIZATION,
                &identity.label,
                None,
                utilization.min(1.0),
                read,
            ));
        }
    }

    fn of_file(&self, live: &mut Live<'_>, to: &mut Vec<Point>) {
        let owner = |always_pid| live.process.map(|process| Owner::Process { process, always_pid });
        if let Some(process) = live.process {
            live.file.count_for(process);
        }
        let mut labels = std::mem::take(&mut live.file.labels);
        let Some(good) = live.file.good() else { return };
        let (reading, read) = (&good.reading, good.read);
        let mut push = |instrument, attributes: &Arc<Attributes>, owner, value: Option<Value>| {
            to.extend(value.map(|value| point(instrument, attributes, owner, value, read)));
        };
        for (address, device) in &reading.devices {
            let Some(identity) = self.devices.get(address) else {
                continue;
            };
            let utilization = device.utilization.map(Value::from);
            push(&hailo::PROCESS_UTILIZATION, &identity.label, owner(true), utilization);
        }
        // Of several devices the file does not tell which one a network runs on.
        let mut named = reading.devices.keys();
        let device = match (named.next(), named.next()) {
            (Some(address), None) => self.devices.get(address).map(|identity| Arc::clone(&identity.id)),
            _ => None,
        };
        labels.are_for(device);
        for (name, network) in &reading.networks {
            let attributes = labels.network(name);
            push(
                &hailo::NETWORK_UTILIZATION,
                &attributes,
                owner(false),
                network.utilization.map(Value::from),
            );
            push(
                &hailo::NETWORK_FRAME_RATE,
                &attributes,
                owner(false),
                network.frame_rate.map(Value::from),
            );
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
        for name in reading.networks.keys().filter(|_| live.process.is_some()) {
            if let Some(total) = live.file.totals.get(name) {
                to.push(counter(&labels.network(name), owner(false), *total, read));
            }
        }
        live.file.labels = labels;
    }

    /// The counters of files without a known process: what each has grown by since the last time goes into one that
    /// several files of the same names share, and that stays when one of them goes.
    fn add_unowned(&mut self, live: Vec<Live<'_>>, to: &mut Vec<Point>) {
        let mut shown = HashMap::new();
        for live in live.into_iter().filter(|live| live.process.is_none()) {
            let Some(good) = live.file.good() else { continue };
            let (names, read) = (good.reading.networks.keys().cloned().collect::<Vec<_>>(), good.read);
            for name in names {
                let Some(total) = live.file.totals.get_mut(&name) else {
                    continue;
                };
                let attributes = live.file.labels.network(&name);
                let start = if total.handed > 0.0 { read } else { total.start };
                let grown = total.hand_elsewhere();
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

fn together<'a>(devices: &'a BTreeMap<String, Device>, live: &'a [Live<'_>]) -> BTreeMap<&'a str, Together<'a>> {
    let mut together: BTreeMap<&str, Together<'_>> = devices
        .keys()
        .map(|address| (address.as_str(), Together::default()))
        .collect();
    let only = devices.keys().next().filter(|_| devices.len() == 1);
    for good in live.iter().filter_map(|live| live.file.good()) {
        for (address, found) in &good.reading.devices {
            let device = together.entry(address).or_default();
            device.read = device.read.max(Some(good.read));
            device.utilization = combined(device.utilization, found.utilization, |a, b| a + b);
            device.model = device.model.or(found.model.as_deref());
        }
        // Before 4.13 a file names no device; where there is but one, it is that one.
        let only = only.filter(|_| good.reading.devices.is_empty());
        if let Some(device) = only.and_then(|only| together.get_mut(only.as_str())) {
            device.read = device.read.max(Some(good.read));
        }
    }
    together
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

/// Whole frames: the fraction stays inside until it has become one.
fn counter(attributes: &Arc<Attributes>, owner: Option<Owner>, total: Total, time: Timestamp) -> Point {
    let frames = Value::Int((total.frames - total.elsewhere).floor() as i64);
    Point {
        start: Some(total.start),
        ..point(&hailo::NETWORK_FRAMES, attributes, owner, frames, time)
    }
}

#[cfg(test)]
mod tests;
