//! Load of each process: plausible, and the same for the same seed.

use std::f64::consts::TAU;

use accelscope_proto::hailo::ProtoMonStreamDirection::{DeviceToHost, HostToDevice};
use accelscope_proto::hailo::{
    ProtoMon, ProtoMonDeviceInfo, ProtoMonInfo, ProtoMonNetworkFrames, ProtoMonStreamFramesInfo,
};
use prost::Message as _;

use super::options::Options;

const NETWORKS: [&str; 8] = [
    "yolov8n",
    "resnet_v1_50",
    "scrfd_10g",
    "arcface_mobilefacenet",
    "yolov5m_seg",
    "mobilenet_v2_1.0",
    "stereonet",
    "lprnet",
];

/// Frames per second of the networks in turn: those of usual cameras.
const RATES: [f64; 5] = [30.0, 25.0, 15.0, 10.0, 60.0];

/// Per cent of a device that all its processes together take at most.
const DEVICE_BUDGET: f64 = 92.0;

/// Frames that a stream's queue holds for each device (HailoRT's default).
const QUEUE_SIZE: u32 = 4;

/// Writes in one swing of a varying load.
const PERIOD: u64 = 20;

/// Frames per second of a process's network, counted from 0, where the load does not vary.
pub fn frame_rate(network: u32) -> f64 {
    RATES[network as usize % RATES.len()]
}

/// The bytes that the process of this number, counted from 0, writes at its `tick`th write if its pid is `pid`: a
/// monitor file without a process behind it.
pub fn message(options: &Options, process: u32, pid: u32, tick: u64) -> Vec<u8> {
    Load { options, process }.at(pid, tick).encode_to_vec()
}

/// One process's load.
pub(super) struct Load<'a> {
    pub(super) options: &'a Options,
    /// Which process, counted from 0.
    pub(super) process: u32,
}

impl Load<'_> {
    /// What the process writes at its `tick`th write.
    pub(super) fn at(&self, pid: u32, tick: u64) -> ProtoMon {
        let tick = if self.options.vary { tick } else { 0 };
        let devices = self.devices();
        let utilizations: Vec<Vec<f64>> = devices.iter().map(|&device| self.utilizations(device, tick)).collect();
        let networks = (0..self.options.networks).map(|network| {
            let of_network = utilizations.iter().map(|of_device| of_device[network as usize]);
            self.network(network, of_network.sum(), devices.len() as u32, tick)
        });
        let (networks_infos, net_frames_infos) = networks.unzip();
        let devices = devices.iter().zip(&utilizations);
        let devices = devices.map(|(device, of_device)| ProtoMonDeviceInfo {
            device_id: format!("{:04x}:01:00.0", device + 1),
            utilization: of_device.iter().sum(),
            device_arch: "HAILO8".to_owned(),
        });
        ProtoMon {
            pid: pid.to_string(),
            networks_infos,
            net_frames_infos,
            device_infos: devices.collect(),
        }
    }

    fn devices(&self) -> Vec<u32> {
        let Options { processes, devices, .. } = *self.options;
        if devices <= processes {
            vec![self.process % devices]
        } else {
            (0..devices)
                .filter(|device| device % processes == self.process)
                .collect()
        }
    }

    /// Per cent of `device` that each network takes.
    fn utilizations(&self, device: u32, tick: u64) -> Vec<f64> {
        let Options {
            processes,
            devices,
            networks,
            ..
        } = *self.options;
        let sharers = if devices <= processes {
            (processes - device).div_ceil(devices)
        } else {
            1
        };
        let share = DEVICE_BUDGET / f64::from(sharers) * (0.6 + 0.4 * self.random("share", device, 0));
        let weight = |network| 0.5 + self.random("weight", device, u64::from(network));
        let weights: f64 = (0..networks).map(weight).sum();
        (0..networks)
            .map(|network| share * weight(network) / weights * self.activity(network, tick))
            .collect()
    }

    /// A network's work, and the queues of its streams.
    fn network(
        &self,
        network: u32,
        utilization: f64,
        devices: u32,
        tick: u64,
    ) -> (ProtoMonInfo, ProtoMonNetworkFrames) {
        let known = NETWORKS[network as usize % NETWORKS.len()];
        let name = match network as usize / NETWORKS.len() {
            0 => known.to_owned(),
            copy => format!("{known}_{}", copy + 1),
        };
        let activity = self.activity(network, tick);
        // The runtime takes the least of the outputs, and the least of none is the largest number.
        let fps = if self.options.streams == 0 {
            f64::MAX
        } else {
            frame_rate(network) * activity
        };
        let active = activity > 0.0;
        let streams =
            (0..self.options.streams).map(|stream| self.stream(&name, (network, stream), devices, tick, active));
        let frames = ProtoMonNetworkFrames {
            streams_frames_infos: streams.collect(),
            // The runtime learns the name from the streams, so a network without any stays nameless here.
            network_name: if self.options.streams == 0 {
                String::new()
            } else {
                name.clone()
            },
        };
        let work = ProtoMonInfo {
            network_name: name,
            fps,
            utilization,
        };
        (work, frames)
    }

    /// The queue of one stream, in frames; -1 where the interval had no event.
    fn stream(
        &self,
        name: &str,
        (network, stream): (u32, u32),
        devices: u32,
        tick: u64,
        active: bool,
    ) -> ProtoMonStreamFramesInfo {
        let (direction, stream_name) = if stream == 0 && self.options.streams > 1 {
            (HostToDevice, format!("{name}/input_layer1"))
        } else {
            (DeviceToHost, format!("{name}/conv{}", 40 + stream))
        };
        let capacity = (QUEUE_SIZE * devices) as i32;
        let idle = ProtoMonStreamFramesInfo {
            stream_name,
            stream_direction: direction.into(),
            buffer_frames_size: capacity,
            pending_frames_count: 0,
            min_pending_frames_count: -1,
            max_pending_frames_count: -1,
            avg_pending_frames_count: -1.0,
        };
        if !active {
            return idle;
        }
        let random = |what| self.random(what, network << 16 | stream, tick);
        let max = 1 + (random("max") * f64::from(capacity)) as i32;
        let min = (random("min") * f64::from(max)) as i32;
        ProtoMonStreamFramesInfo {
            pending_frames_count: min + (random("pending") * f64::from(max - min + 1)) as i32,
            min_pending_frames_count: min,
            max_pending_frames_count: max,
            avg_pending_frames_count: f64::from(min) + f64::from(max - min) * random("avg"),
            ..idle
        }
    }

    /// What part of its full load a network carries; 0: it is idle for now. A process's first network never is.
    fn activity(&self, network: u32, tick: u64) -> f64 {
        if !self.options.vary {
            return 1.0;
        }
        let phase = self.random("phase", network, 0);
        let moment = tick + (phase * PERIOD as f64) as u64;
        if network > 0 && moment % (2 * PERIOD) >= 2 * PERIOD - 3 {
            return 0.0;
        }
        0.85 + 0.15 * (TAU * (moment % PERIOD) as f64 / PERIOD as f64).sin()
    }

    /// From 0 to 1, evenly. A hash and not a generator with a state, so that a process started in place of a killed
    /// one goes on where that one was.
    fn random(&self, what: &str, which: u32, tick: u64) -> f64 {
        let numbers = [self.options.seed, u64::from(self.process), u64::from(which), tick];
        let bytes = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .chain(what.bytes());
        // FNV-1a, and the finish of splitmix64 to spread it over the high bits.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((hash ^ (hash >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests;
