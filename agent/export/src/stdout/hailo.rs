//! What the table says of Hailo devices.

use super::cells::{absent, decimal, number, owner, percent, process, text, whole};
use super::lookup::{Lookup, Section};
use accelscope_core::metric::catalogue::{hailo, hw};
use accelscope_core::metric::{Attributes, Series, key};

pub(super) fn devices(series: &Lookup<'_>) -> Section {
    let head = vec!["DEVICE", "MODEL", "ADDRESS", "DRIVER", "UTILIZATION", "MONITOR"];
    let row = |info: &Series| {
        let id = Attributes::new(info.attributes.get(key::HW_ID).map(|id| (key::HW_ID, id.clone())));
        let monitor = match series.value(&hailo::MONITOR_ACTIVE, &id) {
            Some(active) if active > 0.0 => "on",
            Some(_) => "off",
            None => "-",
        };
        let cell = |key| {
            Some(text(&info.attributes, key))
                .filter(|cell| !cell.is_empty())
                .unwrap_or_else(absent)
        };
        vec![
            series.device(&info.attributes),
            cell(key::HW_MODEL),
            cell(key::ACCEL_DEVICE_ADDRESS),
            cell(key::HW_DRIVER_VERSION),
            percent(series.value(&hw::NPU_UTILIZATION, &id)),
            monitor.to_owned(),
        ]
    };
    (head, series.of(&hailo::DEVICE_INFO).map(row).collect())
}

pub(super) fn processes(series: &Lookup<'_>) -> Section {
    let head = vec!["DEVICE", "PROCESS", "POD OR UNIT", "UTILIZATION"];
    let row = |one: &Series| {
        let of = &one.attributes;
        vec![series.device(of), process(of), owner(of), percent(number(Some(&one)))]
    };
    (head, series.of(&hailo::PROCESS_UTILIZATION).map(row).collect())
}

pub(super) fn networks(series: &Lookup<'_>) -> Section {
    let head = vec![
        "NETWORK",
        "DEVICE",
        "PROCESS",
        "POD OR UNIT",
        "UTILIZATION",
        "FPS",
        "FRAMES",
    ];
    let mut all: Vec<_> = series
        .of(&hailo::NETWORK_UTILIZATION)
        .map(|one| one.attributes.clone())
        .collect();
    for one in series.of(&hailo::NETWORK_FRAME_RATE) {
        if !all.contains(&one.attributes) {
            all.push(one.attributes.clone());
        }
    }
    let row = |of: &std::sync::Arc<Attributes>| {
        vec![
            text(of, key::HAILO_NETWORK_NAME),
            series.device(of),
            process(of),
            owner(of),
            percent(series.value(&hailo::NETWORK_UTILIZATION, of)),
            decimal(series.value(&hailo::NETWORK_FRAME_RATE, of)),
            whole(series.value(&hailo::NETWORK_FRAMES, of)),
        ]
    };
    (head, all.iter().map(row).collect())
}

pub(super) fn streams(series: &Lookup<'_>) -> Section {
    let head = vec![
        "STREAM",
        "DEVICE",
        "DIRECTION",
        "PROCESS",
        "QUEUED",
        "MIN",
        "MAX",
        "CAPACITY",
    ];
    let row = |one: &Series| {
        let of = &one.attributes;
        vec![
            text(of, key::HAILO_STREAM_NAME),
            series.device(of),
            text(of, key::HAILO_STREAM_DIRECTION),
            process(of),
            whole(series.value(&hailo::STREAM_QUEUE_DEPTH, of)),
            whole(series.value(&hailo::STREAM_QUEUE_DEPTH_MIN, of)),
            whole(series.value(&hailo::STREAM_QUEUE_DEPTH_MAX, of)),
            whole(number(Some(&one))),
        ]
    };
    (head, series.of(&hailo::STREAM_QUEUE_CAPACITY).map(row).collect())
}
