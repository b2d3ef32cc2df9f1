//! Points from what is known of devices and files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::device::{self, Device};
use super::reading::StreamName;
use super::state::{File, Labels, Total};
use crate::metric::catalogue::{hailo, hw};
use crate::metric::{Attributes, Instrument, Kind, Merge, Owner, Point, ProcessKey, Timestamp, Value, key};

/// A device's identity, made once.
#[derive(Debug)]
struct Identity {
    id: Arc<str>,
    label: Arc<Attributes>,
    info: Arc<Attributes>,
    /// From the file that told it last: kept, so that the series does not change when the file goes.
    model: Option<String>,
    device: Option<Device>,
}

/// What lasts from one batch to the next.
#[derive(Debug)]
pub(super) struct Points {
    machine_id: String,
    node_name: String,
    devices: HashMap<String, Identity>,
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
struct Together {
    utilization: Option<f64>,
    read: Option<Timestamp>,
}

impl Points {
    pub(super) fn new(machine_id: String, node_name: String) -> Self {
        Self {
            machine_id,
            node_name,
            devices: HashMap::new(),
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
        let mut together: BTreeMap<String, Together> = devices
            .keys()
            .map(|address| (address.clone(), Together::default()))
            .collect();
        let only = (devices.len() == 1).then(|| devices.keys().next().cloned()).flatten();
        for file in &live {
            let Some(good) = file.file.good() else { continue };
            for (address, found) in &good.reading.devices {
                let sum = together.entry(address.clone()).or_default();
                sum.read = sum.read.max(Some(good.read));
                sum.utilization = match (sum.utilization, found.utilization) {
                    (Some(a), Some(b)) => Some(a + b),
                    (a, b) => a.or(b),
                };
            }
            // Before 4.13 a file names no device; where there is but one, it is that one.
            if let (true, Some(sum)) = (
                good.reading.devices.is_empty(),
                only.as_ref().and_then(|a| together.get_mut(a)),
            ) {
                sum.read = sum.read.max(Some(good.read));
            }
        }
        self.identify(devices, &together, &live);
        let mut points = Vec::new();
        for (address, sum) in &together {
            self.of_device(address, sum, now, &mut points);
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

    fn identify(
        &mut self,
        devices: &BTreeMap<String, Device>,
        together: &BTreeMap<String, Together>,
        live: &[Live<'_>],
    ) {
        self.devices.retain(|address, _| together.contains_key(address));
        for address in together.keys() {
            let told = live
                .iter()
                .find_map(|live| live.file.good()?.reading.devices.get(address)?.model.as_ref());
            let device = devices.get(address);
            let known = self.devices.get(address);
            if known.is_some_and(|known| {
                known.device.as_ref() == device && (told.is_none() || told == known.model.as_ref())
            }) {
                continue;
            }
            let model = told.cloned().or_else(|| known?.model.clone());
            let id: Arc<str> = known.map_or_else(
                || device::hw_id(address, &self.machine_id, &self.node_name).into(),
                |known| Arc::clone(&known.id),
            );
            let mut info = vec![
                (key::HW_ID, Arc::clone(&id).into()),
                (key::HW_VENDOR, "Hailo".into()),
                (key::ACCEL_DEVICE_ADDRESS, address.as_str().into()),
            ];
            info.extend(device.map(|device| (key::HW_NAME, device.name.as_str().into())));
            info.extend(model.as_ref().map(|model| (key::HW_MODEL, model.as_str().into())));
            let version = device.and_then(|device| device.driver.as_ref()?.version.as_ref());
            info.extend(version.map(|version| (key::HW_DRIVER_VERSION, version.as_str().into())));
            let identity = Identity {
                label: Attributes::new([(key::HW_ID, Arc::clone(&id).into())]).into(),
                info: Attributes::new(info).into(),
                id,
                model,
                device: device.cloned(),
            };
            self.devices.insert(address.clone(), identity);
        }
    }

    fn of_device(&self, address: &str, sum: &Together, now: Timestamp, to: &mut Vec<Point>) {
        let Some(identity) = self.devices.get(address) else {
            return;
        };
        to.push(point(&hailo::DEVICE_INFO, &identity.info, None, 1i64, now));
        let active = i64::from(sum.read.is_some());
        to.push(point(&hailo::MONITOR_ACTIVE, &identity.label, None, active, now));
        if let (Some(utilization), Some(read)) = (sum.utilization, sum.read) {
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
        if live.process.is_some() {
            live.file
                .totals
                .values_mut()
                .for_each(|total| total.handed = total.frames);
        }
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
                let grown = total.frames - std::mem::replace(&mut total.handed, total.frames);
                let new = Total {
                    frames: 0.0,
                    start,
                    handed: 0.0,
                };
                let sum = self.unowned.entry(Arc::clone(&attributes)).or_insert(new);
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

impl Labels {
    /// Forgets those of another device.
    fn are_for(&mut self, device: Option<Arc<str>>) {
        if self.device != device {
            *self = Self {
                device,
                ..Self::default()
            };
        }
    }

    fn network(&mut self, name: &str) -> Arc<Attributes> {
        if let Some(known) = self.networks.get(name) {
            return Arc::clone(known);
        }
        let device = self.device.iter().map(|id| (key::HW_ID, Arc::clone(id).into()));
        let new = Arc::new(Attributes::new(device.chain([(key::HAILO_NETWORK_NAME, name.into())])));
        self.networks.insert(name.to_owned(), Arc::clone(&new));
        new
    }

    fn stream(&mut self, name: &StreamName) -> Arc<Attributes> {
        if let Some(known) = self.streams.get(name) {
            return Arc::clone(known);
        }
        let device = self.device.iter().map(|id| (key::HW_ID, Arc::clone(id).into()));
        let new = Arc::new(Attributes::new(device.chain([
            (key::HAILO_NETWORK_NAME, name.network.as_str().into()),
            (key::HAILO_STREAM_NAME, name.stream.as_str().into()),
            (key::HAILO_STREAM_DIRECTION, name.direction.as_str().into()),
        ])));
        self.streams.insert(name.clone(), Arc::clone(&new));
        new
    }
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
    let frames = Value::Int(total.frames.floor() as i64);
    Point {
        start: Some(total.start),
        ..point(&hailo::NETWORK_FRAMES, attributes, owner, frames, time)
    }
}

/// One point a series, by the instrument's rule. Points of a process are told apart by it, these are not.
fn combine(points: Vec<Point>) -> Vec<Point> {
    let mut at: HashMap<(&'static str, Arc<Attributes>), usize> = HashMap::new();
    let mut combined: Vec<Point> = Vec::new();
    for point in points {
        let index = *at
            .entry((point.instrument.name, Arc::clone(&point.attributes)))
            .or_insert(combined.len());
        let Some(first) = combined.get_mut(index) else {
            combined.push(point);
            continue;
        };
        let rule = if first.instrument.kind == Kind::Counter {
            Merge::Sum
        } else {
            first.instrument.merge
        };
        first.value = match (&first.value, &point.value, rule) {
            (Value::Int(a), Value::Int(b), Merge::Sum) => Value::Int(a.saturating_add(*b)),
            (Value::Int(a), Value::Int(b), Merge::Min) => Value::Int(*a.min(b)),
            (Value::Int(a), Value::Int(b), Merge::Max) => Value::Int(*a.max(b)),
            (a, b, rule) => {
                let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
                Value::Double(match rule {
                    Merge::Sum => a + b,
                    Merge::Min => a.min(b),
                    Merge::Max => a.max(b),
                })
            }
        };
        first.time = first.time.max(point.time);
    }
    combined
}
