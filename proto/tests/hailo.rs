//! The schema, checked with bytes from another protobuf implementation.
#![expect(clippy::float_cmp, reason = "the bits on the wire are the expectation")]

use accelscope_proto::hailo::{ProtoMon, ProtoMonStreamDirection};
use prost::Message as _;

/// Serialized by Python's protobuf 3.20.3 from the schema of HailoRT 4.15 and later.
const FULL: &str = "0a0434323432121b0a07796f6c6f76387311b81e85eb51f83d40190000000000c04740120911ffffffffffffef7f1a620a\
    07796f6c6f76387312390a14796f6c6f7638732f696e7075745f6c61796572311804200128ffffffffffffffffff0130ffffffffffffffffff\
    0139000000000000f0bf121c0a0b796f6c6f7638732f6f757410011804300239000000000000e03f22200a0c303030313a30313a30302e3011\
    0000000000c047401a074841494c4f384c";

/// An idle device: no network, and no utilization on the wire because it is zero.
const IDLE: &str = "0a013722160a0c303030313a30313a30302e301a064841494c4f38";

#[expect(clippy::unwrap_used, reason = "a slip in a vector fails its test")]
fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn every_field_of_a_full_message() {
    let bytes = bytes(FULL);
    assert_eq!(bytes.len(), 180);
    let monitor = ProtoMon::decode(bytes.as_slice()).unwrap();

    assert_eq!(monitor.pid, "4242");

    let [network, phantom] = monitor.networks_infos.as_slice() else {
        panic!("{monitor:?}")
    };
    assert_eq!(
        (network.network_name.as_str(), network.fps, network.utilization),
        ("yolov8s", 29.97, 47.5)
    );
    assert_eq!(
        (phantom.network_name.as_str(), phantom.fps, phantom.utilization),
        ("", f64::MAX, 0.0)
    );

    let [frames] = monitor.net_frames_infos.as_slice() else {
        panic!("{monitor:?}")
    };
    assert_eq!(frames.network_name, "yolov8s");
    let [input, output] = frames.streams_frames_infos.as_slice() else {
        panic!("{frames:?}")
    };
    assert_eq!(input.stream_name, "yolov8s/input_layer1");
    assert_eq!(input.stream_direction(), ProtoMonStreamDirection::HostToDevice);
    assert_eq!((input.buffer_frames_size, input.pending_frames_count), (4, 1));
    assert_eq!(
        (input.min_pending_frames_count, input.max_pending_frames_count),
        (-1, -1)
    );
    assert_eq!(input.avg_pending_frames_count, -1.0);
    assert_eq!(output.stream_name, "yolov8s/out");
    assert_eq!(output.stream_direction(), ProtoMonStreamDirection::DeviceToHost);
    assert_eq!((output.buffer_frames_size, output.pending_frames_count), (4, 0));
    assert_eq!(
        (output.min_pending_frames_count, output.max_pending_frames_count),
        (0, 2)
    );
    assert_eq!(output.avg_pending_frames_count, 0.5);

    let [device] = monitor.device_infos.as_slice() else {
        panic!("{monitor:?}")
    };
    assert_eq!(
        (
            device.device_id.as_str(),
            device.utilization,
            device.device_arch.as_str()
        ),
        ("0001:01:00.0", 47.5, "HAILO8L")
    );

    assert_eq!(
        monitor.encode_to_vec(),
        bytes,
        "the same fields, numbers, types and order"
    );
}

#[test]
fn an_idle_device() {
    let monitor = ProtoMon::decode(bytes(IDLE).as_slice()).unwrap();
    assert_eq!(monitor.pid, "7");
    assert!(monitor.networks_infos.is_empty() && monitor.net_frames_infos.is_empty());
    let [device] = monitor.device_infos.as_slice() else {
        panic!("{monitor:?}")
    };
    assert_eq!(
        (
            device.device_id.as_str(),
            device.utilization,
            device.device_arch.as_str()
        ),
        ("0001:01:00.0", 0.0, "HAILO8")
    );
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    // One unknown field of each wire type, in the root and in a device: 100 varint, 101 fixed64, 102 bytes, 103 fixed32.
    let unknown = "a006ac02 a9060102030405060708 b20603616263 bd0601020304".replace(' ', "");
    let device = format!("{}{unknown}", "0a0c303030313a30313a30302e301a064841494c4f38");
    let message = format!("{unknown}0a013722{:02x}{device}{unknown}", device.len() / 2);
    assert_eq!(
        ProtoMon::decode(bytes(&message).as_slice()).unwrap(),
        ProtoMon::decode(bytes(IDLE).as_slice()).unwrap()
    );
}

#[test]
fn no_bytes_are_a_message_without_a_pid() {
    assert_eq!(ProtoMon::decode(&[][..]).unwrap(), ProtoMon::default());
}

#[test]
fn a_truncated_message_is_an_error() {
    let bytes = bytes(FULL);
    assert!(ProtoMon::decode(&bytes[..bytes.len() - 1]).is_err());
}
