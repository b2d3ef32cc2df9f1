//! A monitor message as HailoRT lays it out (hailort/libhailort/scheduler_mon.proto, 4.15 to 5.3).

use super::wire::Message;

/// The whole file.
pub(super) struct Monitor {
    pub(super) pid: u32,
    pub(super) networks: Vec<Network>,
    pub(super) devices: Vec<Device>,
}

/// One network (core-op): its work, and the queues of its streams.
pub(super) struct Network {
    pub(super) name: String,
    pub(super) fps: f64,
    /// Per cent of the interval, summed over the process's devices.
    pub(super) utilization: f64,
    pub(super) streams: Vec<Stream>,
}

/// The queue of one stream, in frames; -1 where the interval had no event.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) direction: Direction,
    pub(super) capacity: i32,
    pub(super) pending: i32,
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) avg: f64,
}

#[derive(Clone, Copy)]
pub(super) enum Direction {
    HostToDevice = 0,
    DeviceToHost = 1,
}

/// One device by the load of this process.
pub(super) struct Device {
    pub(super) id: String,
    /// Per cent of the interval.
    pub(super) utilization: f64,
    pub(super) arch: String,
}

impl Monitor {
    /// In ascending order of field numbers, as the runtime's serializer writes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut root = Message::default();
        root.string(1, &self.pid.to_string());
        for network in &self.networks {
            root.message(2, &network.work());
        }
        for network in &self.networks {
            root.message(3, &network.queues());
        }
        for device in &self.devices {
            root.message(4, &device.encode());
        }
        root.into_bytes()
    }
}

impl Network {
    fn work(&self) -> Message {
        let mut message = Message::default();
        message.string(1, &self.name);
        message.double(2, self.fps);
        message.double(3, self.utilization);
        message
    }

    fn queues(&self) -> Message {
        let mut message = Message::default();
        // The runtime learns the name from the streams, so a network without any stays nameless here.
        if !self.streams.is_empty() {
            message.string(1, &self.name);
        }
        for stream in &self.streams {
            message.message(2, &stream.encode());
        }
        message
    }
}

impl Stream {
    fn encode(&self) -> Message {
        let mut message = Message::default();
        message.string(1, &self.name);
        message.int32(2, self.direction as i32);
        message.int32(3, self.capacity);
        message.int32(4, self.pending);
        message.int32(5, self.min);
        message.int32(6, self.max);
        message.double(7, self.avg);
        message
    }
}

impl Device {
    fn encode(&self) -> Message {
        let mut message = Message::default();
        message.string(1, &self.id);
        message.double(2, self.utilization);
        message.string(3, &self.arch);
        message
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// Serialized by Python's protobuf from the vendor's schema; here without the phantom network, which only the
    /// runtime's own fault produces.
    #[test]
    fn the_same_bytes_as_another_implementation() {
        let input = Stream {
            name: "yolov8s/input_layer1".into(),
            direction: Direction::HostToDevice,
            capacity: 4,
            pending: 1,
            min: -1,
            max: -1,
            avg: -1.0,
        };
        let output = Stream {
            name: "yolov8s/out".into(),
            direction: Direction::DeviceToHost,
            capacity: 4,
            pending: 0,
            min: 0,
            max: 2,
            avg: 0.5,
        };
        let network = Network {
            name: "yolov8s".into(),
            fps: 29.97,
            utilization: 47.5,
            streams: vec![input, output],
        };
        let device = Device {
            id: "0001:01:00.0".into(),
            utilization: 47.5,
            arch: "HAILO8L".into(),
        };
        let monitor = Monitor {
            pid: 4242,
            networks: vec![network],
            devices: vec![device],
        };
        assert_eq!(
            hex(&monitor.encode()),
            "0a0434323432121b0a07796f6c6f76387311b81e85eb51f83d40190000000000c047401a620a07796f6c6f76387312390a14796f6c6f\
             7638732f696e7075745f6c61796572311804200128ffffffffffffffffff0130ffffffffffffffffff0139000000000000f0bf121c0a\
             0b796f6c6f7638732f6f757410011804300239000000000000e03f22200a0c303030313a30313a30302e30110000000000c047401a07\
             4841494c4f384c"
        );
    }

    #[test]
    fn an_idle_device_has_no_utilization_on_the_wire() {
        let device = Device {
            id: "0001:01:00.0".into(),
            utilization: 0.0,
            arch: "HAILO8".into(),
        };
        let monitor = Monitor {
            pid: 7,
            networks: vec![],
            devices: vec![device],
        };
        assert_eq!(
            hex(&monitor.encode()),
            "0a013722160a0c303030313a30313a30302e301a064841494c4f38"
        );
    }

    #[test]
    fn a_network_without_streams_is_nameless_among_the_queues() {
        let network = Network {
            name: "n".into(),
            fps: f64::MAX,
            utilization: 0.0,
            streams: vec![],
        };
        let monitor = Monitor {
            pid: 7,
            networks: vec![network],
            devices: vec![],
        };
        assert_eq!(hex(&monitor.encode()), "0a0137120c0a016e11ffffffffffffef7f1a00");
    }
}
