//! A monitor file with known values, and the expected series.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::e2e::bench::{Bench, render};
use crate::e2e::peer::{Writer, WriterSpec};
use crate::e2e::reading::{Point, Sample};

/// Device id in the file.
pub(super) const ADDRESS: &str = "0001:01:00.0";

/// Two networks on one device. Besides valid values: a phantom network without a name and with DBL_MAX frames a second,
/// and a stream with -1, the runtime's "no sample", as minimum, maximum and average.
pub(super) const MESSAGE: &str = r#"{
  "networksInfos": [
    {"networkName": "yolov8n", "fps": 30, "utilization": 40.5},
    {"networkName": "resnet50", "fps": 12.5, "utilization": 7.25},
    {"fps": 1.7976931348623157e308}
  ],
  "netFramesInfos": [{"networkName": "yolov8n", "streamsFramesInfos": [
    {"streamName": "yolov8n/input_layer1", "streamDirection": "PROTO__STREAM_DIRECTION__HOST_TO_DEVICE",
     "bufferFramesSize": 4, "pendingFramesCount": 2, "minPendingFramesCount": 1, "maxPendingFramesCount": 3,
     "avgPendingFramesCount": 1.5},
    {"streamName": "yolov8n/conv63", "streamDirection": "PROTO__STREAM_DIRECTION__DEVICE_TO_HOST",
     "bufferFramesSize": 8, "pendingFramesCount": 5, "minPendingFramesCount": -1, "maxPendingFramesCount": -1,
     "avgPendingFramesCount": -1}
  ]}],
  "deviceInfos": [{"deviceId": "0001:01:00.0", "utilization": 47.75, "deviceArch": "HAILO8L"}]
}"#;

/// An expected series.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) prometheus: &'static str,
    pub(super) unit: &'static str,
    pub(super) kind: &'static str,
    /// Attributes besides `hw.id` and its owner's.
    pub(super) attributes: &'static [(&'static str, &'static str)],
    /// `None` for a value that grows.
    pub(super) value: Option<f64>,
    owner: OwnedBy,
}

#[derive(Clone, Copy, PartialEq)]
enum OwnedBy {
    Device,
    /// Series of a process always have its pid.
    Process,
    Program,
}

const NETWORK: &str = "hailo.network.name";
const STREAM: &str = "hailo.stream.name";
const DIRECTION: &str = "hailo.stream.direction";
const YOLO: &[(&str, &str)] = &[(NETWORK, "yolov8n")];
const RESNET: &[(&str, &str)] = &[(NETWORK, "resnet50")];
const INPUT: &[(&str, &str)] = &[
    (NETWORK, "yolov8n"),
    (STREAM, "yolov8n/input_layer1"),
    (DIRECTION, "host_to_device"),
];
const OUTPUT: &[(&str, &str)] = &[
    (NETWORK, "yolov8n"),
    (STREAM, "yolov8n/conv63"),
    (DIRECTION, "device_to_host"),
];

type Name = (&'static str, &'static str, &'static str, &'static str);
const NPU: Name = ("hw.npu.utilization", "hw_npu_utilization_ratio", "1", "gauge");
const ACTIVE: Name = ("hailo.monitor.active", "hailo_monitor_active", "", "gauge");
const PROCESS: Name = (
    "hailo.process.utilization",
    "hailo_process_utilization_ratio",
    "1",
    "gauge",
);
const SHARE: Name = (
    "hailo.network.utilization",
    "hailo_network_utilization_ratio",
    "1",
    "gauge",
);
const RATE: Name = (
    "hailo.network.frame_rate",
    "hailo_network_frame_rate_per_second",
    "{frame}/s",
    "gauge",
);
const FRAMES: Name = (
    "hailo.network.frames",
    "hailo_network_frames_total",
    "{frame}",
    "counter",
);
const DEPTH: Name = (
    "hailo.stream.queue.depth",
    "hailo_stream_queue_depth",
    "{frame}",
    "gauge",
);
const DEPTH_MIN: Name = (
    "hailo.stream.queue.depth.min",
    "hailo_stream_queue_depth_min",
    "{frame}",
    "gauge",
);
const DEPTH_MAX: Name = (
    "hailo.stream.queue.depth.max",
    "hailo_stream_queue_depth_max",
    "{frame}",
    "gauge",
);
const CAPACITY: Name = (
    "hailo.stream.queue.capacity",
    "hailo_stream_queue_capacity",
    "{frame}",
    "gauge",
);

/// All series of [`MESSAGE`], and no others.
pub(super) const KNOWN: &[Known] = &[
    known(NPU, OwnedBy::Device, &[], Some(0.4775)),
    known(ACTIVE, OwnedBy::Device, &[], Some(1.0)),
    known(PROCESS, OwnedBy::Process, &[], Some(0.4775)),
    known(SHARE, OwnedBy::Program, YOLO, Some(0.405)),
    known(SHARE, OwnedBy::Program, RESNET, Some(0.0725)),
    known(RATE, OwnedBy::Program, YOLO, Some(30.0)),
    known(RATE, OwnedBy::Program, RESNET, Some(12.5)),
    known(FRAMES, OwnedBy::Program, YOLO, None),
    known(FRAMES, OwnedBy::Program, RESNET, None),
    known(DEPTH, OwnedBy::Program, INPUT, Some(2.0)),
    known(DEPTH, OwnedBy::Program, OUTPUT, Some(5.0)),
    known(DEPTH_MIN, OwnedBy::Program, INPUT, Some(1.0)),
    known(DEPTH_MAX, OwnedBy::Program, INPUT, Some(3.0)),
    known(CAPACITY, OwnedBy::Program, INPUT, Some(4.0)),
    known(CAPACITY, OwnedBy::Program, OUTPUT, Some(8.0)),
];

const fn known(
    (name, prometheus, unit, kind): Name,
    owner: OwnedBy,
    attributes: &'static [(&'static str, &'static str)],
    value: Option<f64>,
) -> Known {
    Known {
        name,
        prometheus,
        unit,
        kind,
        attributes,
        value,
        owner,
    }
}

/// Attributes that a test machine adds to a process, depending on where the test runs.
const SURROUNDINGS: &[&str] = &[
    "accel.owner",
    "systemd.unit",
    "container.id",
    "container.name",
    "container.image.name",
];

impl Known {
    /// Its attributes for that writer on that device.
    pub(super) fn attributes(&self, writer: &Writer, hw_id: &str) -> Result<BTreeMap<String, String>> {
        let mut all: BTreeMap<_, _> = self
            .attributes
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        all.insert("hw.id".to_owned(), hw_id.to_owned());
        if self.owner != OwnedBy::Device {
            all.insert("process.executable.name".to_owned(), writer.executable()?);
        }
        if self.owner == OwnedBy::Process {
            all.insert("process.pid".to_owned(), writer.pid.to_string());
        }
        Ok(all)
    }
}

/// A reading in any format: name, attributes or labels, value.
pub(super) type Reading = (String, BTreeMap<String, String>, Option<f64>);

/// Fails unless the readings of that device are exactly [`KNOWN`], each once.
pub(super) fn check(readings: Vec<Reading>, writer: &Writer, prometheus: bool) -> Result<()> {
    let (npu, id_key) = if prometheus { (NPU.1, "hw_id") } else { (NPU.0, "hw.id") };
    let hw_id = readings
        .iter()
        .find(|(name, ..)| name == npu)
        .and_then(|(_, labels, _)| labels.get(id_key).cloned())
        .with_context(|| format!("there is no {npu} with {id_key}"))?;
    let mut found = BTreeMap::new();
    for (name, mut labels, value) in readings {
        // Information about the device does not come from the file.
        let ours = (name.starts_with("hailo") || name.starts_with("hw")) && !name.contains("info");
        if !ours || labels.get(id_key) != Some(&hw_id) {
            continue;
        }
        labels.retain(|key, _| !SURROUNDINGS.iter().any(|s| s == key || s.replace('.', "_") == *key));
        let series = format!("{name}{}", render(&labels));
        ensure!(found.insert(series.clone(), value).is_none(), "{series} is there twice");
    }
    for known in KNOWN {
        let mut labels = known.attributes(writer, &hw_id)?;
        if prometheus {
            labels = labels
                .into_iter()
                .map(|(key, value)| (key.replace('.', "_"), value))
                .collect();
        }
        let series = format!(
            "{}{}",
            if prometheus { known.prometheus } else { known.name },
            render(&labels)
        );
        let Some(value) = found.remove(&series) else {
            bail!("{series} is missing; unexpected: {:?}", found.keys());
        };
        let value = value.with_context(|| format!("{series} has no value"))?;
        let right = known
            .value
            .map_or(value >= 0.0, |expected| (value - expected).abs() < 1e-9);
        ensure!(right, "{series} is {value} and not {:?}", known.value);
    }
    let rest: BTreeSet<_> = found.into_keys().collect();
    ensure!(rest.is_empty(), "nobody wrote {rest:?}");
    Ok(())
}

/// Fails unless each known series has the expected unit and kind.
pub(super) fn check_metadata(points: &[Point]) -> Result<()> {
    for known in KNOWN {
        for point in points.iter().filter(|point| point.name == known.name) {
            ensure!(
                point.unit == known.unit,
                "{} has the unit {:?}, not {:?}",
                known.name,
                point.unit,
                known.unit
            );
            ensure!(
                point.kind == known.kind,
                "{} is a {}, not a {}",
                known.name,
                point.kind,
                known.kind
            );
            ensure!(
                point.start().is_some() == (known.kind == "counter"),
                "{}: start time {:?} of a {}",
                known.name,
                point.start(),
                known.kind
            );
        }
    }
    Ok(())
}

pub(super) fn of_points(points: &[Point]) -> Vec<Reading> {
    points
        .iter()
        .map(|p| (p.name.clone(), p.attributes(), p.value))
        .collect()
}

pub(super) fn of_samples(samples: &[Sample]) -> Vec<Reading> {
    samples
        .iter()
        .map(|s| (s.name.clone(), s.labels.clone(), Some(s.value)))
        .collect()
}

/// A writer of [`MESSAGE`] in the scenario's `hmon_files`.
pub(super) fn writer(bench: &Bench<'_>, mode: &str, interval: Duration) -> Result<Writer> {
    let dir = bench.path("hmon_files");
    Writer::start(
        bench,
        "writer",
        &WriterSpec {
            message: MESSAGE,
            dir,
            interval,
            mode,
            container: None,
        },
    )
}
