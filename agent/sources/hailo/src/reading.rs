//! Values of one write of a monitor file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::address::address;
use super::combine::sum;
use super::file_name::claimed_pid;
use super::skipped::{IMPLAUSIBLE, REPEATED, Skipped, UNNAMED};
use super::values;
use accelscope_core::metric::MAX_VALUE_BYTES;
use accelscope_proto::hailo::{ProtoMon, ProtoMonStreamDirection, ProtoMonStreamFramesInfo};

/// One write of a monitor file.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Reading {
    /// Process id of its writer in the writer's PID namespace.
    pub(super) pid: u32,
    /// By canonical address.
    pub(super) devices: BTreeMap<String, Device>,
    /// By name.
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) streams: BTreeMap<StreamName, Stream>,
    /// Whether its writer is HailoRT 4.15 or later, which reports the least and most frames of the interval.
    pub(super) has_extremes: bool,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Device {
    /// E.g. `HAILO8L`.
    pub(super) model: Option<String>,
    /// Per cent of the interval, as written: percents of several writers are added before they become a ratio.
    pub(super) percent: Option<f64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Network {
    /// Per cent of the interval, summed over the devices.
    pub(super) percent: Option<f64>,
    /// Frames per second.
    pub(super) frame_rate: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StreamName {
    pub(super) network: String,
    pub(super) stream: String,
    pub(super) direction: ProtoMonStreamDirection,
}

/// Queue of a stream, in frames.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Stream {
    pub(super) depth: Option<i64>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) capacity: Option<i64>,
}

impl Device {
    fn add(&mut self, other: Self) {
        self.percent = sum(self.percent, other.percent);
        self.model = self.model.take().or(other.model);
    }
}

impl Network {
    fn add(&mut self, other: Self) {
        self.percent = sum(self.percent, other.percent);
        self.frame_rate = sum(self.frame_rate, other.frame_rate);
    }
}

impl Stream {
    fn add(&mut self, other: Self) {
        self.depth = sum(self.depth, other.depth);
        self.min = sum(self.min, other.min);
        self.max = sum(self.max, other.max);
        self.capacity = sum(self.capacity, other.capacity);
    }
}

impl Reading {
    /// `reports_extremes`: an earlier write of the file had [`has_extremes`](Self::has_extremes).
    ///
    /// `None` where neither the file nor its name has a process id.
    pub(super) fn new(
        message: ProtoMon,
        file_name: &str,
        reports_extremes: bool,
        skipped: &mut Skipped,
    ) -> Option<Self> {
        let mut reading = Self {
            pid: skipped.keep(claimed_pid(&message.pid, file_name).ok_or("no_pid"))?,
            ..Self::default()
        };
        for device in message.device_infos {
            let found = Device {
                model: (!device.device_arch.is_empty()).then(|| capped(device.device_arch)),
                percent: skipped.keep(values::percent(device.utilization)),
            };
            let address = address(&capped(device.device_id));
            if address.is_empty() {
                skipped.add(UNNAMED);
                continue;
            }
            insert(&mut reading.devices, address, found, Device::add, skipped);
        }
        for network in message.networks_infos {
            if network.network_name.is_empty() {
                skipped.add(UNNAMED);
                continue;
            }
            let found = Network {
                percent: skipped.keep(values::percent(network.utilization)),
                frame_rate: skipped.keep(values::frame_rate(network.fps)),
            };
            let name = capped(network.network_name);
            insert(&mut reading.networks, name, found, Network::add, skipped);
        }
        // Zero is absent on the wire: only a stream with another number (-1 while idle) shows that these are reported.
        let mut streams = message.net_frames_infos.iter().flat_map(|n| &n.streams_frames_infos);
        reading.has_extremes = reports_extremes || streams.any(has_extremes);
        for frames in message.net_frames_infos {
            let network = capped(frames.network_name);
            for stream in frames.streams_frames_infos {
                reading.add_stream(&network, stream, skipped);
            }
        }
        Some(reading)
    }

    /// Number of devices, networks and streams. One with a long name counts as several: the memory that it takes.
    pub(super) fn elements(&self) -> usize {
        let devices = self.devices.keys().map(|address| weight(address.len()));
        let networks = self.networks.keys().map(|name| weight(name.len()));
        let streams = self
            .streams
            .keys()
            .map(|name| weight(name.network.len() + name.stream.len()));
        devices.chain(networks).chain(streams).sum()
    }

    /// Number of names that are neither in the reading before it nor satisfy `is_known`.
    pub(super) fn new_names(&self, before: &Self, is_known: impl Fn(&str) -> bool) -> usize {
        let devices = self
            .devices
            .keys()
            .filter(|address| !before.devices.contains_key(*address));
        let networks = self
            .networks
            .keys()
            .filter(|name| !before.networks.contains_key(*name) && !is_known(name));
        let streams = self.streams.keys().filter(|name| !before.streams.contains_key(*name));
        devices.count() + networks.count() + streams.count()
    }

    /// Leaves out such names beyond the first `admitted`. Returns how many.
    pub(super) fn leave_out(&mut self, before: &Self, is_known: impl Fn(&str) -> bool, mut admitted: usize) -> usize {
        let count = |reading: &Self| reading.devices.len() + reading.networks.len() + reading.streams.len();
        let all = count(self);
        let mut admits = |is_known: bool| {
            let is_admitted = is_known || admitted > 0;
            admitted -= usize::from(!is_known && is_admitted);
            is_admitted
        };
        self.devices
            .retain(|address, _| admits(before.devices.contains_key(address)));
        self.networks
            .retain(|name, _| admits(before.networks.contains_key(name) || is_known(name)));
        self.streams.retain(|name, _| admits(before.streams.contains_key(name)));
        all - count(self)
    }

    fn add_stream(&mut self, network: &str, stream: ProtoMonStreamFramesInfo, skipped: &mut Skipped) {
        if network.is_empty() || stream.stream_name.is_empty() {
            return skipped.add(UNNAMED);
        }
        let Ok(direction) = ProtoMonStreamDirection::try_from(stream.stream_direction) else {
            return skipped.add(IMPLAUSIBLE);
        };
        let extremes = self.has_extremes;
        let mut extreme = |frames| extremes.then(|| skipped.keep(values::depth(frames))).flatten();
        let found = Stream {
            min: extreme(stream.min_pending_frames_count),
            max: extreme(stream.max_pending_frames_count),
            depth: skipped.keep(values::depth(stream.pending_frames_count)),
            capacity: skipped.keep(values::capacity(stream.buffer_frames_size)),
        };
        let name = StreamName {
            network: network.to_owned(),
            stream: capped(stream.stream_name),
            direction,
        };
        insert(&mut self.streams, name, found, Stream::add, skipped);
    }
}

/// What an element with names of that many bytes counts as. Those of real ones have some 30.
const fn weight(bytes: usize) -> usize {
    1 + bytes / 64
}

/// Inserts an element. One with an existing name is added to the first, and counted.
fn insert<K: Ord, V>(elements: &mut BTreeMap<K, V>, name: K, found: V, add: fn(&mut V, V), skipped: &mut Skipped) {
    match elements.entry(name) {
        Entry::Vacant(free) => {
            free.insert(found);
        }
        Entry::Occupied(mut first) => {
            add(first.get_mut(), found);
            skipped.add(REPEATED);
        }
    }
}

fn has_extremes(stream: &ProtoMonStreamFramesInfo) -> bool {
    stream.min_pending_frames_count != 0
        || stream.max_pending_frames_count != 0
        || stream.avg_pending_frames_count.to_bits() != 0
}

/// Truncated as the attribute's value will be, so that names with the same first bytes become one element. Of a name of
/// megabytes no more memory is kept.
fn capped(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(MAX_VALUE_BYTES));
    name.shrink_to_fit();
    name
}

#[cfg(test)]
mod tests {
    use super::super::decode::{decode, tests::vector};
    use super::super::skipped::{NO_SAMPLE, Reason};
    use super::*;
    use accelscope_proto::hailo::{ProtoMonDeviceInfo, ProtoMonInfo, ProtoMonNetworkFrames};

    fn read(message: ProtoMon) -> Reading {
        count(message).0
    }

    fn count(message: ProtoMon) -> (Reading, BTreeMap<Reason, u64>) {
        let mut skipped = Skipped::default();
        (Reading::new(message, "", false, &mut skipped).unwrap(), skipped.0)
    }

    fn message() -> ProtoMon {
        ProtoMon {
            pid: "7".into(),
            ..ProtoMon::default()
        }
    }

    fn network(name: &str, fps: f64, utilization: f64) -> ProtoMonInfo {
        ProtoMonInfo {
            network_name: name.into(),
            fps,
            utilization,
        }
    }

    #[test]
    fn the_vector_of_the_real_writer() {
        let (reading, skipped) = count(decode(&vector()).unwrap());
        assert_eq!(reading.pid, 4242);
        let device = &reading.devices["0001:01:00.0"];
        assert_eq!((device.percent, device.model.as_deref()), (Some(47.5), Some("HAILO8L")));
        assert_eq!(reading.networks.len(), 1, "the phantom is gone");
        assert_eq!(reading.networks["yolov8s"].frame_rate, Some(29.97));
        let streams: Vec<_> = reading.streams.iter().collect();
        let (name, input) = streams[0];
        assert_eq!(
            (name.stream.as_str(), name.direction),
            ("yolov8s/input_layer1", ProtoMonStreamDirection::HostToDevice)
        );
        assert_eq!(
            (input.depth, input.min, input.max, input.capacity),
            (Some(1), None, None, Some(4))
        );
        let (name, output) = streams[1];
        assert_eq!(name.direction, ProtoMonStreamDirection::DeviceToHost);
        assert_eq!(
            (output.depth, output.min, output.max, output.capacity),
            (Some(0), Some(0), Some(2), Some(4))
        );
        assert_eq!(skipped, BTreeMap::from([(UNNAMED, 1), (NO_SAMPLE, 2)]));
    }

    #[test]
    fn an_idle_device_has_utilization_zero_and_no_device_list_none() {
        let idle = decode(&[
            0x0a, 1, b'7', 0x22, 0x16, 0x0a, 0x0c, b'0', b'0', b'0', b'1', b':', b'0', b'1', b':', b'0', b'0', b'.',
            b'0', 0x1a, 6, b'H', b'A', b'I', b'L', b'O', b'8',
        ]);
        assert_eq!(read(idle.unwrap()).devices["0001:01:00.0"].percent, Some(0.0));
        assert!(read(message()).devices.is_empty());
    }

    #[test]
    fn before_4_15_the_extremes_are_absent_and_not_zero() {
        let stream = |min, max| ProtoMon {
            net_frames_infos: vec![ProtoMonNetworkFrames {
                network_name: "n".into(),
                streams_frames_infos: vec![ProtoMonStreamFramesInfo {
                    stream_name: "s".into(),
                    buffer_frames_size: 4,
                    min_pending_frames_count: min,
                    max_pending_frames_count: max,
                    ..ProtoMonStreamFramesInfo::default()
                }],
            }],
            ..message()
        };
        let of = |reading: Reading| reading.streams.into_values().next().unwrap();
        assert_eq!(of(read(stream(0, 0))).min, None);
        let new = read(stream(0, 3));
        assert!(new.has_extremes);
        assert_eq!((of(new.clone()).min, of(new).max), (Some(0), Some(3)));
        let later = Reading::new(stream(0, 0), "", true, &mut Skipped::default()).unwrap();
        assert_eq!(of(later).min, Some(0), "its writer is known to report them");
    }

    #[test]
    fn repeated_names_are_combined_and_counted() {
        let stream = |depth, min, max| ProtoMonStreamFramesInfo {
            stream_name: "s".into(),
            buffer_frames_size: 4,
            pending_frames_count: depth,
            min_pending_frames_count: min,
            max_pending_frames_count: max,
            ..ProtoMonStreamFramesInfo::default()
        };
        let device = |utilization, arch: &str| ProtoMonDeviceInfo {
            device_id: "0001:01:00.0".into(),
            utilization,
            device_arch: arch.into(),
        };
        let (reading, skipped) = count(ProtoMon {
            networks_infos: vec![network("n", 10.0, 50.0), network("n", 5.0, f64::NAN)],
            net_frames_infos: vec![ProtoMonNetworkFrames {
                network_name: "n".into(),
                streams_frames_infos: vec![stream(1, 1, 2), stream(3, 2, 5)],
            }],
            device_infos: vec![device(20.0, ""), device(30.0, "HAILO8")],
            ..message()
        });
        let expected = Network {
            percent: Some(50.0),
            frame_rate: Some(15.0),
        };
        assert_eq!(reading.networks["n"], expected);
        let stream = reading.streams.values().next().unwrap();
        assert_eq!(
            (stream.depth, stream.min, stream.max, stream.capacity),
            (Some(4), Some(3), Some(7), Some(8))
        );
        assert_eq!(reading.devices["0001:01:00.0"].percent, Some(50.0));
        assert_eq!(skipped[REPEATED], 3);
    }

    #[test]
    fn names_with_the_same_first_bytes_are_one() {
        let long = "x".repeat(MAX_VALUE_BYTES);
        let reading = read(ProtoMon {
            networks_infos: vec![
                network(&format!("{long}a"), 1.0, 1.0),
                network(&format!("{long}b"), 1.0, 1.0),
            ],
            ..message()
        });
        assert_eq!(reading.networks.len(), 1);
    }

    #[test]
    fn of_a_long_name_no_more_memory_is_kept_than_of_its_part() {
        let reading = read(ProtoMon {
            networks_infos: vec![network(&"x".repeat(4 << 20), 1.0, 1.0)],
            ..message()
        });
        let name = reading.networks.keys().next().unwrap();
        assert!(name.capacity() <= 2 * MAX_VALUE_BYTES, "{}", name.capacity());
    }
}
