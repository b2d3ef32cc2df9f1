//! Sections of the live table: Hailo devices.

use crate::catalogue as hailo;
use crate::key;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Series};
use accelscope_core::table::{
    Lookup, Rates, Section, absent, decimal, name, number, owner, percent, process, text, value, whole,
};

/// The sections.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "DEVICES",
        columns: &[
            name("DEVICE"),
            name("MODEL"),
            name("ADDRESS"),
            name("DRIVER"),
            value("UTILIZATION"),
            name("MONITOR"),
        ],
        rated: |_| false,
        rows: devices,
    },
    Section {
        title: "PROCESSES",
        columns: &[
            name("DEVICE"),
            name("PROCESS"),
            name("POD OR UNIT"),
            value("UTILIZATION"),
        ],
        rated: |_| false,
        rows: processes,
    },
    Section {
        title: "NETWORKS",
        columns: &[
            name("NETWORK"),
            name("DEVICE"),
            name("PROCESS"),
            name("POD OR UNIT"),
            value("UTILIZATION"),
            value("FPS"),
            value("FRAMES"),
        ],
        rated: |_| false,
        rows: networks,
    },
    Section {
        title: "STREAMS",
        columns: &[
            name("STREAM"),
            name("DEVICE"),
            name("DIRECTION"),
            name("PROCESS"),
            value("QUEUED"),
            value("MIN"),
            value("MAX"),
            value("CAPACITY"),
        ],
        rated: |_| false,
        rows: streams,
    },
];

fn devices(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
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
    series.of(&hailo::DEVICE_INFO).map(row).collect()
}

fn processes(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |one: &Series| {
        let of = &one.attributes;
        vec![series.device(of), process(of), owner(of), percent(number(Some(&one)))]
    };
    series.of(&hailo::PROCESS_UTILIZATION).map(row).collect()
}

fn networks(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
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
    all.iter().map(row).collect()
}

fn streams(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |one: &Series| {
        let of = &one.attributes;
        let queued = series.value(&hailo::STREAM_QUEUE_DEPTH, of);
        // A writer without a sample in its interval gives a depth and no extremes: the sums are then not of the same queues.
        let least = series.value(&hailo::STREAM_QUEUE_DEPTH_MIN, of);
        let least = least.filter(|least| queued.is_none_or(|queued| *least <= queued));
        let most = series.value(&hailo::STREAM_QUEUE_DEPTH_MAX, of);
        let most = most.filter(|most| queued.is_none_or(|queued| *most >= queued));
        vec![
            text(of, key::HAILO_STREAM_NAME),
            series.device(of),
            text(of, key::HAILO_STREAM_DIRECTION),
            process(of),
            whole(queued),
            whole(least),
            whole(most),
            whole(number(Some(&one))),
        ]
    };
    series.of(&hailo::STREAM_QUEUE_CAPACITY).map(row).collect()
}
