//! Loads, and the bytes of their messages.

use std::collections::BTreeMap;

use super::*;

fn all(options: &Options, tick: u64) -> Vec<ProtoMon> {
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
            for device in all(&options, tick).into_iter().flat_map(|monitor| monitor.device_infos) {
                *used.entry(device.device_id).or_default() += device.utilization;
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
        let networks: f64 = monitor.networks_infos.iter().map(|network| network.utilization).sum();
        let devices: f64 = monitor.device_infos.iter().map(|device| device.utilization).sum();
        assert!(
            monitor.device_infos.len() > 1 && (networks - devices).abs() < 1e-9,
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
    assert_eq!(first, later);
    let rates: Vec<f64> = first.networks_infos.iter().map(|network| network.fps).collect();
    assert_eq!(rates, [30.0, 25.0, 15.0, 10.0, 60.0, 30.0, 25.0]);
    let other = Options {
        seed: 1,
        ..options.clone()
    };
    assert_ne!(
        first,
        Load {
            options: &other,
            process: 0
        }
        .at(5, 0),
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
        let monitor = load.at(5, tick);
        for (network, frames) in monitor.networks_infos.iter().zip(&monitor.net_frames_infos) {
            let streams = &frames.streams_frames_infos;
            let is_input = |stream: &&ProtoMonStreamFramesInfo| stream.stream_direction() == HostToDevice;
            assert_eq!((streams.iter().filter(is_input).count(), streams.len()), (1, 3));
            for stream in streams {
                let (min, max) = (stream.min_pending_frames_count, stream.max_pending_frames_count);
                let (pending, avg) = (stream.pending_frames_count, stream.avg_pending_frames_count);
                let capacity = stream.buffer_frames_size;
                assert_eq!(capacity, 8, "four frames for each of two devices");
                if network.fps > 0.0 {
                    assert!(0 <= min && min <= pending && pending <= max && max <= capacity);
                    assert!(f64::from(min) <= avg && avg <= f64::from(max));
                } else {
                    assert_eq!((pending, min, max, avg), (0, -1, -1, -1.0));
                    assert!(network.utilization <= 0.0);
                    idle += 1;
                }
            }
        }
    }
    assert_eq!(idle, 2 * 3 * 3, "two of three networks are idle for three writes");
}

fn hex(monitor: &ProtoMon) -> String {
    let digits = monitor.encode_to_vec().into_iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Serialized by Python's protobuf from the vendor's schema; here without the phantom network, which only the
/// runtime's own fault produces.
#[test]
fn the_same_bytes_as_another_implementation() {
    let input = ProtoMonStreamFramesInfo {
        stream_name: "yolov8s/input_layer1".into(),
        stream_direction: HostToDevice.into(),
        buffer_frames_size: 4,
        pending_frames_count: 1,
        min_pending_frames_count: -1,
        max_pending_frames_count: -1,
        avg_pending_frames_count: -1.0,
    };
    let output = ProtoMonStreamFramesInfo {
        stream_name: "yolov8s/out".into(),
        stream_direction: DeviceToHost.into(),
        buffer_frames_size: 4,
        pending_frames_count: 0,
        min_pending_frames_count: 0,
        max_pending_frames_count: 2,
        avg_pending_frames_count: 0.5,
    };
    let monitor = ProtoMon {
        pid: "4242".into(),
        networks_infos: vec![ProtoMonInfo {
            network_name: "yolov8s".into(),
            fps: 29.97,
            utilization: 47.5,
        }],
        net_frames_infos: vec![ProtoMonNetworkFrames {
            network_name: "yolov8s".into(),
            streams_frames_infos: vec![input, output],
        }],
        device_infos: vec![ProtoMonDeviceInfo {
            device_id: "0001:01:00.0".into(),
            utilization: 47.5,
            device_arch: "HAILO8L".into(),
        }],
    };
    assert_eq!(
        hex(&monitor),
        "0a0434323432121b0a07796f6c6f76387311b81e85eb51f83d40190000000000c047401a620a07796f6c6f76387312390a14796f6c6f\
         7638732f696e7075745f6c61796572311804200128ffffffffffffffffff0130ffffffffffffffffff0139000000000000f0bf121c0a\
         0b796f6c6f7638732f6f757410011804300239000000000000e03f22200a0c303030313a30313a30302e30110000000000c047401a07\
         4841494c4f384c"
    );
}

#[test]
fn an_idle_device_has_no_utilization_on_the_wire() {
    let monitor = ProtoMon {
        pid: "7".into(),
        device_infos: vec![ProtoMonDeviceInfo {
            device_id: "0001:01:00.0".into(),
            utilization: 0.0,
            device_arch: "HAILO8".into(),
        }],
        ..ProtoMon::default()
    };
    assert_eq!(hex(&monitor), "0a013722160a0c303030313a30313a30302e301a064841494c4f38");
}

#[test]
fn a_network_without_streams_is_nameless_among_the_queues() {
    let options = Options {
        networks: 1,
        streams: 0,
        ..Options::default()
    };
    let load = Load {
        options: &options,
        process: 0,
    };
    let monitor = load.at(7, 0);
    let fps = monitor.networks_infos[0].fps;
    assert_eq!(fps.to_bits(), f64::MAX.to_bits(), "the least of none");
    assert_eq!(monitor.networks_infos[0].network_name, NETWORKS[0]);
    assert_eq!(monitor.net_frames_infos, [ProtoMonNetworkFrames::default()]);
    assert!(hex(&monitor).contains("1a0022"), "it is there, and empty");
}
