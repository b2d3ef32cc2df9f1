//! Load of each process: plausible, and the same for the same seed.

use std::f64::consts::TAU;

use super::message::{Device, Direction, Monitor, Network, Stream};
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
    Load { options, process }.at(pid, tick).encode()
}

/// One process's load.
pub(super) struct Load<'a> {
    pub(super) options: &'a Options,
    /// Which process, counted from 0.
    pub(super) process: u32,
}

impl Load<'_> {
    /// What the process writes at its `tick`th write.
    pub(super) fn at(&self, pid: u32, tick: u64) -> Monitor {
        let tick = if self.options.vary { tick } else { 0 };
        let devices = self.devices();
        let utilizations: Vec<Vec<f64>> = devices.iter().map(|&device| self.utilizations(device, tick)).collect();
        let networks = (0..self.options.networks).map(|network| {
            let of_network = utilizations.iter().map(|of_device| of_device[network as usize]);
            self.network(network, of_network.sum(), devices.len() as u32, tick)
        });
        let networks = networks.collect();
        let devices = devices.iter().zip(&utilizations).map(|(device, of_device)| Device {
            id: format!("{:04x}:01:00.0", device + 1),
            utilization: of_device.iter().sum(),
            arch: "HAILO8".to_owned(),
        });
        Monitor {
            pid,
            networks,
            devices: devices.collect(),
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

    fn network(&self, network: u32, utilization: f64, devices: u32, tick: u64) -> Network {
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
        let streams = streams.collect();
        Network {
            name,
            fps,
            utilization,
            streams,
        }
    }

    fn stream(&self, name: &str, (network, stream): (u32, u32), devices: u32, tick: u64, active: bool) -> Stream {
        let direction = if stream == 0 && self.options.streams > 1 {
            Direction::HostToDevice
        } else {
            Direction::DeviceToHost
        };
        let name = match direction {
            Direction::HostToDevice => format!("{name}/input_layer1"),
            Direction::DeviceToHost => format!("{name}/conv{}", 40 + stream),
        };
        let capacity = (QUEUE_SIZE * devices) as i32;
        if !active {
            return Stream {
                name,
                direction,
                capacity,
                pending: 0,
                min: -1,
                max: -1,
                avg: -1.0,
            };
        }
        let random = |what| self.random(what, network << 16 | stream, tick);
        let max = 1 + (random("max") * f64::from(capacity)) as i32;
        let min = (random("min") * f64::from(max)) as i32;
        let avg = f64::from(min) + f64::from(max - min) * random("avg");
        let pending = min + (random("pending") * f64::from(max - min + 1)) as i32;
        Stream {
            name,
            direction,
            capacity,
            pending,
            min,
            max,
            avg,
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all(options: &Options, tick: u64) -> Vec<Monitor> {
        (0..options.processes)
            .map(|process| Load { options, process }.at(process, tick))
            .collect()
    }

    #[test]
    fn no_device_is_used_beyond_what_it_has() {
        for (processes, devices) in [(1, 1), (5, 1), (5, 2), (7, 3), (2, 5), (3, 3)] {
            let options = Options {
                processes,
                devices,
                networks: 3,
                vary: true,
                ..Options::default()
            };
            for tick in 0..50 {
                let mut used = BTreeMap::<String, f64>::new();
                for device in all(&options, tick).into_iter().flat_map(|monitor| monitor.devices) {
                    *used.entry(device.id).or_default() += device.utilization;
                }
                assert_eq!(used.len(), devices as usize, "every device has a user");
                assert!(
                    used.values()
                        .all(|&percent| percent > 20.0 && percent < DEVICE_BUDGET + 1e-9),
                    "{used:?}"
                );
            }
        }
    }

    #[test]
    fn a_process_s_networks_and_devices_have_the_same_load() {
        let options = Options {
            processes: 2,
            devices: 5,
            networks: 3,
            vary: true,
            ..Options::default()
        };
        for monitor in all(&options, 7) {
            let networks: f64 = monitor.networks.iter().map(|network| network.utilization).sum();
            let devices: f64 = monitor.devices.iter().map(|device| device.utilization).sum();
            assert!(
                monitor.devices.len() > 1 && (networks - devices).abs() < 1e-9,
                "{networks} {devices}"
            );
        }
    }

    #[test]
    fn without_variation_every_write_is_the_same_and_predictable() {
        let options = Options {
            networks: 7,
            ..Options::default()
        };
        let [first, later] = [0, 99].map(|tick| {
            Load {
                options: &options,
                process: 0,
            }
            .at(5, tick)
        });
        assert_eq!(first.encode(), later.encode());
        let rates: Vec<f64> = first.networks.iter().map(|network| network.fps).collect();
        assert_eq!(rates, [30.0, 25.0, 15.0, 10.0, 60.0, 30.0, 25.0]);
        let other = Options {
            seed: 1,
            ..options.clone()
        };
        assert_ne!(
            first.encode(),
            Load {
                options: &other,
                process: 0
            }
            .at(5, 0)
            .encode(),
            "the seed matters"
        );
    }

    #[test]
    fn queues_stay_within_their_capacity_and_idle_ones_have_no_samples() {
        let options = Options {
            devices: 2,
            networks: 3,
            streams: 3,
            vary: true,
            ..Options::default()
        };
        let mut idle = 0;
        for tick in 0..2 * PERIOD {
            let load = Load {
                options: &options,
                process: 0,
            };
            for network in load.at(5, tick).networks {
                let inputs = network
                    .streams
                    .iter()
                    .filter(|s| matches!(s.direction, Direction::HostToDevice))
                    .count();
                assert_eq!((inputs, network.streams.len()), (1, 3));
                for stream in &network.streams {
                    assert_eq!(stream.capacity, 8, "four frames for each of two devices");
                    if network.fps > 0.0 {
                        let (min, max) = (stream.min, stream.max);
                        assert!(0 <= min && min <= stream.pending && stream.pending <= max && max <= stream.capacity);
                        assert!(f64::from(min) <= stream.avg && stream.avg <= f64::from(max));
                    } else {
                        assert_eq!((stream.pending, stream.min, stream.max, stream.avg), (0, -1, -1, -1.0));
                        assert!(network.utilization <= 0.0);
                        idle += 1;
                    }
                }
            }
        }
        assert_eq!(idle, 2 * 3 * 3, "two of three networks are idle for three writes");
    }
}
