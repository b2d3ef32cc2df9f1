//! Monitor files: what each version of HailoRT writes, with its sentinels, and what others may.

use accelscope_proto::hailo::{
    ProtoMon, ProtoMonDeviceInfo, ProtoMonInfo, ProtoMonNetworkFrames, ProtoMonStreamFramesInfo,
};
use prost::Message;

use crate::Seeds;

pub(crate) fn seeds() -> Seeds {
    let network = |name: &str, fps, utilization| ProtoMonInfo {
        network_name: name.into(),
        fps,
        utilization,
    };
    let device = |id: &str, utilization| ProtoMonDeviceInfo {
        device_id: id.into(),
        utilization,
        device_arch: "HAILO8L".into(),
    };
    let stream = |name: &str, direction, frames| ProtoMonStreamFramesInfo {
        stream_name: name.into(),
        stream_direction: direction,
        buffer_frames_size: 4,
        pending_frames_count: frames,
        min_pending_frames_count: -1,
        max_pending_frames_count: 2,
        avg_pending_frames_count: 0.5,
    };
    let old = ProtoMon {
        pid: "7".into(),
        networks_infos: vec![network("yolov8s", 29.97, 47.5), network("", f64::MAX, -1.0)],
        ..ProtoMon::default()
    };
    let whole = ProtoMon {
        net_frames_infos: vec![ProtoMonNetworkFrames {
            network_name: "yolov8s".into(),
            streams_frames_infos: vec![stream("yolov8s/in", 0, 1), stream("yolov8s/out", 1, -1)],
        }],
        device_infos: vec![
            device("0001:01:00.0", 47.5),
            device("01:00.0", f64::NAN),
            device("[integrated]", 1e9),
        ],
        ..old.clone()
    };
    let repeated = ProtoMon {
        networks_infos: vec![network("a", 1.0, 1.0); 3],
        device_infos: vec![device("0001:01:00.0", 90.0); 3],
        ..whole.clone()
    };
    let many = ProtoMon {
        pid: "7".into(),
        networks_infos: vec![ProtoMonInfo::default(); 2000],
        ..ProtoMon::default()
    };
    let content = |message: &ProtoMon| [b"149635kQx2a1/".to_vec(), message.encode_to_vec()].concat();
    let mut seeds: Seeds = [
        ("old", &old),
        ("whole", &whole),
        ("repeated", &repeated),
        ("many", &many),
    ]
    .map(|(name, message)| (name.to_owned(), content(message)))
    .into();
    seeds.push(("unnamed".to_owned(), whole.encode_to_vec()));
    seeds.push(("cut".to_owned(), content(&whole)[..80].to_vec()));
    seeds.push((
        "later".to_owned(),
        [content(&whole), vec![0xaa, 0x06, 3, 1, 2, 3, 0xb0, 0x06, 1]].concat(),
    ));
    seeds.push(("no-pid".to_owned(), b"\x1b[2J\n/\x12\x03\x0a\x01a".to_vec()));
    seeds
}
