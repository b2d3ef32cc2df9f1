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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::directory::Stamp;
    use super::super::reading::{self, Direction, Network, Reading, Stream};
    use super::super::state::Moment;
    use super::*;

    const A: &str = "0001:01:00.0";
    const B: &str = "0002:01:00.0";

    fn time(second: u64) -> Timestamp {
        Timestamp::from_unix_nanos(second * 1_000_000_000)
    }

    fn process(pid: u32) -> Option<ProcessKey> {
        Some(ProcessKey { pid, start_ticks: 1 })
    }

    fn devices(addresses: &[&str]) -> BTreeMap<String, Device> {
        let device = |address: &&str| Device {
            address: (*address).into(),
            name: "hailo0".into(),
            number: None,
            driver: None,
            monitored_on_card: false,
        };
        addresses
            .iter()
            .map(|address| ((*address).to_owned(), device(address)))
            .collect()
    }

    fn reading(devices: &[(&str, Option<f64>)], fps: f64) -> Reading {
        let network = Network {
            utilization: Some(0.4),
            frame_rate: Some(fps),
        };
        let name = StreamName {
            network: "n".into(),
            stream: "n/in".into(),
            direction: Direction::HostToDevice,
        };
        let stream = Stream {
            depth: Some(1),
            min: Some(0),
            max: Some(3),
            capacity: Some(4),
        };
        let device = |utilization| reading::Device {
            model: Some("HAILO8L".into()),
            utilization,
        };
        Reading {
            devices: devices
                .iter()
                .map(|(address, utilization)| ((*address).into(), device(*utilization)))
                .collect(),
            networks: [("n".to_owned(), network)].into(),
            streams: [(name, stream)].into(),
            ..Reading::default()
        }
    }

    fn write(file: &mut File, second: u64, reading: Reading) {
        let stamp = Stamp {
            inode: second,
            size: 1,
            modified: time(second),
        };
        let zero = *ZERO;
        let instant = zero + std::time::Duration::from_secs(second);
        file.wrote(
            stamp,
            Some(reading),
            Moment {
                instant,
                wall: time(second),
            },
        );
    }

    static ZERO: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

    fn points() -> Points {
        Points::new("machine".into(), "node".into())
    }

    /// Name and value of each point with, of its attributes, the device (`A` or `B`) if it names one.
    fn show(points: &[Point]) -> Vec<String> {
        let letter = |id: &str| {
            if id == device::hw_id(A, "machine", "node") {
                "A"
            } else {
                "B"
            }
        };
        let line = |point: &Point| {
            let device = point
                .attributes
                .get(key::HW_ID)
                .map_or("-", |id| letter(&id.to_string()));
            let owner = match point.owner {
                Some(Owner::Process { process, always_pid }) => {
                    format!(" {}{}", process.pid, if always_pid { "!" } else { "" })
                }
                None => String::new(),
            };
            format!("{} {device} {:?}{owner}", point.instrument.name, point.value)
        };
        points.iter().map(line).collect()
    }

    #[test]
    fn a_device_without_files_has_its_identity_and_an_inactive_monitor() {
        let made = points().build(&devices(&[A]), vec![], time(1));
        assert_eq!(
            show(&made),
            ["hailo.device.info A Int(1)", "hailo.monitor.active A Int(0)"]
        );
        let info = &made[0].attributes;
        assert_eq!(info.get(key::HW_NAME), Some(&"hailo0".into()));
        assert_eq!(info.get(key::HW_VENDOR), Some(&"Hailo".into()));
        assert_eq!(info.get(key::ACCEL_DEVICE_ADDRESS), Some(&A.into()));
        assert_eq!(info.get(key::HW_MODEL), None);
    }

    #[test]
    fn everything_that_a_file_says_is_a_point_of_its_process() {
        let mut file = File::default();
        write(&mut file, 10, reading(&[(A, Some(0.5))], 30.0));
        write(&mut file, 11, reading(&[(A, Some(0.5))], 30.5));
        let live = vec![Live {
            file: &mut file,
            process: process(7),
        }];
        let made = points().build(&devices(&[A]), live, time(12));
        let expected = [
            "hailo.device.info A Int(1)",
            "hailo.monitor.active A Int(1)",
            "hw.npu.utilization A Double(0.5)",
            "hailo.process.utilization A Double(0.5) 7!",
            "hailo.network.utilization A Double(0.4) 7",
            "hailo.network.frame_rate A Double(30.5) 7",
            "hailo.stream.queue.depth A Int(1) 7",
            "hailo.stream.queue.depth.min A Int(0) 7",
            "hailo.stream.queue.depth.max A Int(3) 7",
            "hailo.stream.queue.capacity A Int(4) 7",
            "hailo.network.frames A Int(30) 7",
        ];
        assert_eq!(show(&made), expected);
        let frames = made.last().unwrap();
        assert_eq!(
            (frames.start, frames.time),
            (Some(time(10)), time(11)),
            "its own read time, not the batch's"
        );
        assert!(made.iter().all(|point| point.value.is_valid_for(point.instrument)));
        for point in &made {
            for (key, _) in point.attributes.iter() {
                assert!(
                    point.instrument.attributes.contains(key),
                    "{} {key}",
                    point.instrument.name
                );
            }
        }
    }

    #[test]
    fn several_processes_on_one_device_add_up_to_at_most_one() {
        let (mut first, mut second) = (File::default(), File::default());
        let of = |points: &[Point], name| -> Vec<f64> {
            let those = points.iter().filter(|point| point.instrument.name == name);
            those.filter_map(|point| point.value.as_f64()).collect()
        };
        for (a, b, sum) in [(0.3, 0.25, 0.55), (0.9, 1.2, 1.0)] {
            write(&mut first, 10, reading(&[(A, Some(a))], 1.0));
            write(&mut second, 10, reading(&[(A, Some(b))], 1.0));
            let live = vec![
                Live {
                    file: &mut first,
                    process: process(7),
                },
                Live {
                    file: &mut second,
                    process: process(8),
                },
            ];
            let made = points().build(&devices(&[A]), live, time(12));
            assert_eq!(of(&made, "hw.npu.utilization"), [sum]);
            assert_eq!(
                of(&made, "hailo.process.utilization"),
                [a, b],
                "what a process uses is kept as it is"
            );
        }
    }

    #[test]
    fn a_network_on_several_devices_names_none_of_them() {
        let mut file = File::default();
        write(&mut file, 10, reading(&[(A, Some(0.5)), (B, None)], 1.0));
        let live = vec![Live {
            file: &mut file,
            process: process(7),
        }];
        let made = show(&points().build(&BTreeMap::new(), live, time(12)));
        assert!(
            made.contains(&"hailo.network.utilization - Double(0.4) 7".to_owned()),
            "{made:?}"
        );
        assert!(made.contains(&"hailo.process.utilization A Double(0.5) 7!".to_owned()));
        assert!(
            made.contains(&"hailo.monitor.active B Int(1)".to_owned()),
            "a device that only files name"
        );
        let unknown = |line: &&String| line.contains("utilization B");
        assert_eq!(made.iter().find(unknown), None, "unknown is not zero");
    }

    #[test]
    fn before_4_13_the_one_device_is_active_and_of_two_neither() {
        let mut file = File::default();
        write(&mut file, 10, reading(&[], 1.0));
        for (known, expected) in [
            (&[A][..], "hailo.monitor.active A Int(1)"),
            (&[A, B], "hailo.monitor.active A Int(0)"),
        ] {
            let live = vec![Live {
                file: &mut file,
                process: process(7),
            }];
            let made = show(&points().build(&devices(known), live, time(12)));
            assert!(made.contains(&expected.to_owned()), "{made:?}");
            assert!(made.iter().all(|line| !line.contains("hw.npu.utilization")));
            assert!(made.contains(&"hailo.network.utilization - Double(0.4) 7".to_owned()));
        }
    }

    #[test]
    fn the_model_stays_when_its_file_goes() {
        let mut file = File::default();
        write(&mut file, 10, reading(&[(A, Some(0.5))], 1.0));
        let mut points = points();
        let live = vec![Live {
            file: &mut file,
            process: process(7),
        }];
        let with = points.build(&devices(&[A]), live, time(12));
        let without = points.build(&devices(&[A]), vec![], time(13));
        assert_eq!(with[0].attributes.get(key::HW_MODEL), Some(&"HAILO8L".into()));
        assert_eq!(with[0].attributes, without[0].attributes);
    }

    #[test]
    fn files_without_a_known_process_share_series_and_their_counter_never_falls() {
        let (mut first, mut second) = (File::default(), File::default());
        let mut points = points();
        let frames = |made: &[Point]| {
            let those: Vec<_> = made
                .iter()
                .filter(|point| point.instrument.name == "hailo.network.frames")
                .collect();
            assert_eq!(those.len(), 1, "one series");
            those[0].value.as_f64().unwrap()
        };
        for second_ in 10..12 {
            write(&mut first, second_, reading(&[(A, Some(0.25))], 10.0));
            write(&mut second, second_, reading(&[(A, Some(0.5))], 5.0));
        }
        let live = vec![
            Live {
                file: &mut first,
                process: None,
            },
            Live {
                file: &mut second,
                process: None,
            },
        ];
        let made = points.build(&devices(&[A]), live, time(12));
        assert_eq!(frames(&made).to_bits(), 15f64.to_bits());
        let shown = show(&made);
        for expected in [
            "hailo.process.utilization A Double(0.75)",
            "hailo.network.frame_rate A Double(15.0)",
            "hailo.stream.queue.depth A Int(2)",
            "hailo.stream.queue.depth.min A Int(0)",
            "hailo.stream.queue.depth.max A Int(3)",
        ] {
            assert_eq!(
                shown.iter().filter(|line| *line == expected).count(),
                1,
                "{expected}: {shown:?}"
            );
        }
        write(&mut second, 12, reading(&[(A, Some(0.5))], 5.0));
        let live = vec![Live {
            file: &mut second,
            process: None,
        }];
        assert_eq!(
            frames(&points.build(&devices(&[A]), live, time(13))).to_bits(),
            20f64.to_bits()
        );
    }

    #[test]
    fn frames_of_a_process_are_not_counted_again_when_it_can_no_longer_be_told() {
        let mut file = File::default();
        let mut points = points();
        write(&mut file, 10, reading(&[], 10.0));
        write(&mut file, 11, reading(&[], 10.0));
        points.build(
            &devices(&[]),
            vec![Live {
                file: &mut file,
                process: process(7),
            }],
            time(11),
        );
        write(&mut file, 12, reading(&[], 10.0));
        let made = points.build(
            &devices(&[]),
            vec![Live {
                file: &mut file,
                process: None,
            }],
            time(12),
        );
        let frames = made
            .iter()
            .find(|point| point.instrument.name == "hailo.network.frames")
            .unwrap();
        assert_eq!((frames.value.clone(), frames.start), (Value::Int(10), Some(time(12))));
    }

    #[test]
    fn attributes_are_made_once() {
        let mut file = File::default();
        let mut points = points();
        let mut build = |file: &mut File, second| {
            write(file, second, reading(&[(A, Some(0.5))], 1.0));
            points.build(
                &devices(&[A]),
                vec![Live {
                    file,
                    process: process(7),
                }],
                time(second),
            )
        };
        let (before, after) = (build(&mut file, 10), build(&mut file, 11));
        for (before, after) in before.iter().zip(&after) {
            assert!(
                Arc::ptr_eq(&before.attributes, &after.attributes),
                "{}",
                before.instrument.name
            );
        }
    }
}
