//! Points of devices and files, as a user sees them.

use std::time::Instant;

use super::*;
use crate::address::hw_id;
use crate::directory::Stamp;
use crate::owner::Search;
use crate::reading::StreamName;
use crate::reading::{self, Network, Reading, Stream};
use accelscope_core::metric::{Moment, ProcessKey, key};
use accelscope_proto::hailo::ProtoMonStreamDirection;

const A: &str = "0001:01:00.0";
const B: &str = "0002:01:00.0";

fn time(second: u64) -> Timestamp {
    Timestamp::from_unix_nanos(second * 1_000_000_000)
}

fn of(pid: u32, file: &mut File) -> &mut File {
    file.owner.search = Search::Found(ProcessKey { pid, start_ticks: 1 });
    file
}

fn without_owner(file: &mut File) -> &mut File {
    file.owner.search = Search::Denied;
    file
}

fn devices(addresses: &[&str]) -> BTreeMap<String, Device> {
    let device = |address: &&str| Device {
        address: (*address).into(),
        name: "hailo0".into(),
        number: None,
        module: None,
        driver_version: None,
        monitored_on_card: false,
    };
    addresses
        .iter()
        .map(|address| ((*address).to_owned(), device(address)))
        .collect()
}

fn reading(devices: &[(&str, Option<f64>)], fps: f64) -> Reading {
    let network = Network {
        percent: Some(40.0),
        frame_rate: Some(fps),
    };
    let name = StreamName {
        network: "n".into(),
        stream: "n/in".into(),
        direction: ProtoMonStreamDirection::HostToDevice,
    };
    let stream = Stream {
        depth: Some(1),
        min: Some(0),
        max: Some(3),
        capacity: Some(4),
    };
    let device = |utilization: Option<f64>| reading::Device {
        model: Some("HAILO8L".into()),
        percent: utilization.map(|ratio| ratio * 100.0),
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
        user: 0,
        is_open: false,
    };
    let zero = *ZERO;
    let instant = zero + std::time::Duration::from_secs(second);
    file.record(
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
        if id == hw_id(A, "machine", "node") { "A" } else { "B" }
    };
    let line = |point: &Point| {
        let device = point
            .attributes
            .get(key::HW_ID)
            .map_or("-", |id| letter(&id.to_string()));
        let owner = match &point.owner {
            Some(Owner::Process { process, always_pid }) => {
                format!(" {}{}", process.pid, if *always_pid { "!" } else { "" })
            }
            Some(_) | None => String::new(),
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
fn every_value_of_a_file_is_a_point_of_its_process() {
    let mut file = File::default();
    write(&mut file, 10, reading(&[(A, Some(0.5))], 30.0));
    write(&mut file, 11, reading(&[(A, Some(0.5))], 30.5));
    let live = vec![of(7, &mut file)];
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
    let values = |points: &[Point], name| -> Vec<f64> {
        let those = points.iter().filter(|point| point.instrument.name == name);
        those.filter_map(|point| point.value.as_f64()).collect()
    };
    for (a, b, sum) in [(0.3, 0.25, 0.55), (0.9, 1.2, 1.0)] {
        write(&mut first, 10, reading(&[(A, Some(a))], 1.0));
        write(&mut second, 10, reading(&[(A, Some(b))], 1.0));
        let live = vec![of(7, &mut first), of(8, &mut second)];
        let made = points().build(&devices(&[A]), live, time(12));
        assert_eq!(values(&made, "hw.npu.utilization"), [sum]);
        assert_eq!(
            values(&made, "hailo.process.utilization"),
            [a, b],
            "what a process uses is kept as it is"
        );
    }
}

#[test]
fn a_network_on_several_devices_names_none_of_them() {
    let mut file = File::default();
    write(&mut file, 10, reading(&[(A, Some(0.5)), (B, None)], 1.0));
    let live = vec![of(7, &mut file)];
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
        let live = vec![of(7, &mut file)];
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
    let live = vec![of(7, &mut file)];
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
    let live = vec![without_owner(&mut first), without_owner(&mut second)];
    let made = points.build(&devices(&[A]), live, time(12));
    assert_eq!(frames(&made).to_bits(), 15f64.to_bits());
    let shown = show(&made);
    for expected in [
        "hailo.process.utilization A Double(0.75)",
        "hailo.network.frame_rate A Double(15.0)",
        "hailo.stream.queue.depth A Int(2)",
        "hailo.stream.queue.depth.min A Int(0)",
        "hailo.stream.queue.depth.max A Int(6)",
    ] {
        assert_eq!(
            shown.iter().filter(|line| *line == expected).count(),
            1,
            "{expected}: {shown:?}"
        );
    }
    write(&mut second, 12, reading(&[(A, Some(0.5))], 5.0));
    let live = vec![without_owner(&mut second)];
    assert_eq!(
        frames(&points.build(&devices(&[A]), live, time(13))).to_bits(),
        20f64.to_bits()
    );
}

#[test]
fn frames_of_a_process_are_not_counted_again_when_it_becomes_unknown() {
    let mut file = File::default();
    let mut points = points();
    write(&mut file, 10, reading(&[], 10.0));
    write(&mut file, 11, reading(&[], 10.0));
    points.build(&devices(&[]), vec![of(7, &mut file)], time(11));
    write(&mut file, 12, reading(&[], 10.0));
    let made = points.build(&devices(&[]), vec![without_owner(&mut file)], time(12));
    let frames = made
        .iter()
        .find(|point| point.instrument.name == "hailo.network.frames")
        .unwrap();
    assert_eq!((frames.value.clone(), frames.start), (Value::Int(10), Some(time(12))));
}

#[test]
fn each_frame_is_counted_for_one_process_or_for_none() {
    let mut file = File::default();
    let mut points = points();
    let mut count = |file: &mut File, second, process: Option<u32>| {
        write(file, second, reading(&[], 10.0));
        let live = match process {
            Some(pid) => of(pid, file),
            None => without_owner(file),
        };
        let made = points.build(&devices(&[]), vec![live], time(second));
        let frames = made
            .iter()
            .find(|point| point.instrument.name == "hailo.network.frames");
        frames.unwrap().value.clone()
    };
    count(&mut file, 10, None);
    assert_eq!(count(&mut file, 11, None), Value::Int(10));
    assert_eq!(
        count(&mut file, 12, Some(7)),
        Value::Int(10),
        "not what was counted before it was known"
    );
    assert_eq!(
        count(&mut file, 13, None),
        Value::Int(10),
        "another count: that of before has ended"
    );
    assert_eq!(count(&mut file, 14, Some(7)), Value::Int(20), "goes on where it was");
    assert_eq!(
        count(&mut file, 15, Some(8)),
        Value::Int(10),
        "not what another process did"
    );
}

#[test]
fn attributes_are_made_once() {
    let mut file = File::default();
    let mut points = points();
    let mut build = |file: &mut File, second| {
        write(file, second, reading(&[(A, Some(0.5))], 1.0));
        points.build(&devices(&[A]), vec![of(7, file)], time(second))
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
