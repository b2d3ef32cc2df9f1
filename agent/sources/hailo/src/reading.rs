//! What one monitor file says, freed of everything that is no value.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::values::{self, IMPLAUSIBLE, REPEATED, Reason, UNNAMED};
use accelscope_core::metric::MAX_VALUE_BYTES;
use accelscope_proto::hailo::{ProtoMon, ProtoMonStreamFramesInfo};

/// How many readings gave no point, by reason.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Skipped(pub(super) BTreeMap<Reason, u64>);

impl Skipped {
    pub(super) fn add(&mut self, reason: Reason) {
        *self.0.entry(reason).or_default() += 1;
    }

    pub(super) fn add_some(&mut self, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.add(reason);
        }
    }

    pub(super) fn add_all(&mut self, more: &Self) {
        for (reason, count) in &more.0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    /// The value, else `None` and one more of its reason.
    fn keep<T>(&mut self, value: Result<T, Reason>) -> Option<T> {
        value.map_err(|reason| self.add(reason)).ok()
    }
}

/// One write of a monitor file.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Reading {
    /// Its writer, in the writer's own PID namespace.
    pub(super) pid: u32,
    /// By address as [`address`](super::device::address) has it.
    pub(super) devices: BTreeMap<String, Device>,
    /// By name.
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) streams: BTreeMap<StreamName, Stream>,
    /// Whether its writer is of 4.15 or later and reports the least and most frames of the interval.
    pub(super) has_extremes: bool,
    pub(super) skipped: Skipped,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Device {
    /// E.g. `HAILO8L`.
    pub(super) model: Option<String>,
    /// Share of the interval.
    pub(super) utilization: Option<f64>,
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Network {
    /// Share of the interval, summed over the devices.
    pub(super) utilization: Option<f64>,
    /// Frames per second.
    pub(super) frame_rate: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StreamName {
    pub(super) network: String,
    pub(super) stream: String,
    pub(super) direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Direction {
    HostToDevice,
    DeviceToHost,
}

impl Direction {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::HostToDevice => "host_to_device",
            Self::DeviceToHost => "device_to_host",
        }
    }
}

/// Of a stream's queue, in frames.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Stream {
    pub(super) depth: Option<i64>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) capacity: Option<i64>,
}

impl Reading {
    /// `reports_extremes`: an earlier write of the file had [`has_extremes`](Self::has_extremes).
    ///
    /// `None` where neither the file nor its name tells a process.
    pub(super) fn new(message: ProtoMon, file_name: &str, reports_extremes: bool) -> Option<Self> {
        let mut reading = Self {
            pid: claimed_pid(&message.pid, file_name)?,
            ..Self::default()
        };
        for device in message.device_infos {
            let found = Device {
                model: (!device.device_arch.is_empty()).then(|| capped(device.device_arch)),
                utilization: reading.skipped.keep(values::ratio(device.utilization)),
            };
            reading.add_device(super::device::address(&capped(device.device_id)), found);
        }
        for network in message.networks_infos {
            if network.network_name.is_empty() {
                reading.skipped.add(UNNAMED);
                continue;
            }
            let found = Network {
                utilization: reading.skipped.keep(values::ratio(network.utilization)),
                frame_rate: reading.skipped.keep(values::frame_rate(network.fps)),
            };
            reading.add_network(capped(network.network_name), found);
        }
        // Zero is absent on the wire: only a stream with other numbers (-1 while idle) tells that these are reported.
        let mut streams = message.net_frames_infos.iter().flat_map(|n| &n.streams_frames_infos);
        reading.has_extremes = reports_extremes || streams.any(has_extremes);
        for frames in message.net_frames_infos {
            let network = capped(frames.network_name);
            for stream in frames.streams_frames_infos {
                reading.add_stream(&network, stream);
            }
        }
        Some(reading)
    }

    /// How many devices, networks and streams it has.
    pub(super) fn elements(&self) -> usize {
        self.devices.len() + self.networks.len() + self.streams.len()
    }

    fn add_device(&mut self, address: String, found: Device) {
        if address.is_empty() {
            return self.skipped.add(UNNAMED);
        }
        match self.devices.entry(address) {
            Entry::Vacant(free) => {
                free.insert(found);
            }
            Entry::Occupied(mut taken) => {
                let device = taken.get_mut();
                device.utilization = combined(device.utilization, found.utilization, |a, b| a + b);
                device.model = device.model.take().or(found.model);
                self.skipped.add(REPEATED);
            }
        }
    }

    fn add_network(&mut self, name: String, found: Network) {
        match self.networks.entry(name) {
            Entry::Vacant(free) => {
                free.insert(found);
            }
            Entry::Occupied(mut taken) => {
                let network = taken.get_mut();
                network.utilization = combined(network.utilization, found.utilization, |a, b| a + b);
                network.frame_rate = combined(network.frame_rate, found.frame_rate, |a, b| a + b);
                self.skipped.add(REPEATED);
            }
        }
    }

    fn add_stream(&mut self, network: &str, stream: ProtoMonStreamFramesInfo) {
        if network.is_empty() || stream.stream_name.is_empty() {
            return self.skipped.add(UNNAMED);
        }
        let direction = match stream.stream_direction {
            0 => Direction::HostToDevice,
            1 => Direction::DeviceToHost,
            _ => return self.skipped.add(IMPLAUSIBLE),
        };
        let extremes = self.has_extremes;
        let mut extreme = |frames| extremes.then(|| self.skipped.keep(values::depth(frames))).flatten();
        let found = Stream {
            min: extreme(stream.min_pending_frames_count),
            max: extreme(stream.max_pending_frames_count),
            depth: self.skipped.keep(values::depth(stream.pending_frames_count)),
            capacity: self.skipped.keep(values::capacity(stream.buffer_frames_size)),
        };
        let name = StreamName {
            network: network.to_owned(),
            stream: capped(stream.stream_name),
            direction,
        };
        match self.streams.entry(name) {
            Entry::Vacant(free) => {
                free.insert(found);
            }
            Entry::Occupied(mut taken) => {
                let stream = taken.get_mut();
                stream.depth = combined(stream.depth, found.depth, |a, b| a + b);
                stream.min = combined(stream.min, found.min, Ord::min);
                stream.max = combined(stream.max, found.max, Ord::max);
                stream.capacity = combined(stream.capacity, found.capacity, |a, b| a + b);
                self.skipped.add(REPEATED);
            }
        }
    }
}

fn has_extremes(stream: &ProtoMonStreamFramesInfo) -> bool {
    stream.min_pending_frames_count != 0
        || stream.max_pending_frames_count != 0
        || stream.avg_pending_frames_count.to_bits() != 0
}

/// What two that may be unknown are together.
pub(super) fn combined<T>(a: Option<T>, b: Option<T>, how: impl FnOnce(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(how(a, b)),
        (a, b) => a.or(b),
    }
}

/// Cut here already, so that two names that differ only behind the cut are seen as one.
fn capped(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(MAX_VALUE_BYTES));
    name
}

/// `mkstemp` appends six characters to the process id, with digits among them.
const SUFFIX: usize = 6;

/// The process id that a file tells, else the one in its name.
pub(super) fn claimed_pid(written: &str, file_name: &str) -> Option<u32> {
    let named = file_name
        .len()
        .checked_sub(SUFFIX)
        .and_then(|end| file_name.get(..end)?.parse().ok())
        .filter(|pid| *pid > 0);
    let written = written.parse().ok().filter(|pid| *pid > 0);
    if let (Some(written), Some(named)) = (written, named)
        && written != named
    {
        tracing::debug!(
            file_name,
            written,
            named,
            "the monitor file's content and name tell different processes"
        );
    }
    written.or(named)
}

#[cfg(test)]
mod tests {
    use super::super::decode::{decode, tests::vector};
    use super::*;
    use accelscope_proto::hailo::{ProtoMonDeviceInfo, ProtoMonInfo, ProtoMonNetworkFrames};

    fn read(message: ProtoMon) -> Reading {
        Reading::new(message, "", false).unwrap()
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
        let reading = read(decode(&vector()).unwrap());
        assert_eq!(reading.pid, 4242);
        let device = &reading.devices["0001:01:00.0"];
        assert_eq!(
            (device.utilization, device.model.as_deref()),
            (Some(0.475), Some("HAILO8L"))
        );
        assert_eq!(reading.networks.len(), 1, "the phantom is gone");
        assert_eq!(reading.networks["yolov8s"].frame_rate, Some(29.97));
        let streams: Vec<_> = reading.streams.iter().collect();
        let (name, input) = streams[0];
        assert_eq!(
            (name.stream.as_str(), name.direction),
            ("yolov8s/input_layer1", Direction::HostToDevice)
        );
        assert_eq!(
            (input.depth, input.min, input.max, input.capacity),
            (Some(1), None, None, Some(4))
        );
        let (name, output) = streams[1];
        assert_eq!(name.direction, Direction::DeviceToHost);
        assert_eq!(
            (output.depth, output.min, output.max, output.capacity),
            (Some(0), Some(0), Some(2), Some(4))
        );
        assert_eq!(
            reading.skipped.0,
            BTreeMap::from([(UNNAMED, 1), (values::NO_SAMPLE, 2)])
        );
    }

    #[test]
    fn an_idle_device_has_utilization_zero_and_no_device_list_none() {
        let idle = decode(&[
            0x0a, 1, b'7', 0x22, 0x16, 0x0a, 0x0c, b'0', b'0', b'0', b'1', b':', b'0', b'1', b':', b'0', b'0', b'.',
            b'0', 0x1a, 6, b'H', b'A', b'I', b'L', b'O', b'8',
        ]);
        assert_eq!(read(idle.unwrap()).devices["0001:01:00.0"].utilization, Some(0.0));
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
        let later = Reading::new(stream(0, 0), "", true).unwrap();
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
        let reading = read(ProtoMon {
            networks_infos: vec![network("n", 10.0, 50.0), network("n", 5.0, f64::NAN)],
            net_frames_infos: vec![ProtoMonNetworkFrames {
                network_name: "n".into(),
                streams_frames_infos: vec![stream(1, 1, 2), stream(3, 2, 5)],
            }],
            device_infos: vec![device(20.0, ""), device(30.0, "HAILO8")],
            ..message()
        });
        let expected = Network {
            utilization: Some(0.5),
            frame_rate: Some(15.0),
        };
        assert_eq!(reading.networks["n"], expected);
        let stream = reading.streams.values().next().unwrap();
        assert_eq!(
            (stream.depth, stream.min, stream.max, stream.capacity),
            (Some(4), Some(1), Some(5), Some(8))
        );
        assert_eq!(reading.devices["0001:01:00.0"].utilization, Some(0.5));
        assert_eq!(reading.skipped.0[REPEATED], 3);
    }

    #[test]
    fn names_that_differ_only_behind_the_cut_are_one() {
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
    fn the_file_name_tells_the_process_where_the_file_does_not() {
        assert_eq!(claimed_pid("42", "99abcdef"), Some(42));
        assert_eq!(claimed_pid("x", "149635kQx2a1"), Some(149_635));
        assert_eq!(claimed_pid("x", "123456789012"), Some(123_456));
        for (written, name) in [("0", "abcdef"), ("", ""), ("-1", "ä"), ("99999999999", "abc")] {
            assert_eq!(claimed_pid(written, name), None, "{written} {name}");
        }
    }
}
