//! Sections of the live table: NVIDIA GPUs.

use crate::catalogue::nvidia;
use crate::key;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Attributes, Instrument, Series};
use accelscope_core::table::{
    Lookup, Rates, Section, absent, name, number, owner, percent, process, text, value, whole,
};

const MIB: f64 = 1_048_576.0;

/// The sections.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "GPUS",
        columns: &[
            name("GPU"),
            name("NAME"),
            name("MODEL"),
            name("ADDRESS"),
            name("STATE"),
            value("UTILIZATION"),
            value("MEMORY"),
            value("POWER"),
            value("TEMPERATURE"),
        ],
        rated: |_| false,
        rows: gpus,
    },
    Section {
        title: "GPU PROCESSES",
        columns: &[
            name("GPU"),
            name("PROCESS"),
            name("POD OR UNIT"),
            value("UTILIZATION"),
            value("MEMORY"),
        ],
        rated: |_| false,
        rows: processes,
    },
];

fn gpus(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |info: &Series| {
        let of = &info.attributes;
        let value = |instrument, more: &[(&str, &str)]| find(series, instrument, of, more);
        let with_unit =
            |value: Option<f64>, unit: &str| value.map_or_else(absent, |value| format!("{value:.0} {unit}"));
        let limit = value(&nvidia::POWER_LIMIT, &[(key::NVIDIA_POWER_LIMIT, "enforced")]);
        let power = match (value(&hw::POWER, &[]), limit) {
            (Some(power), Some(limit)) => format!("{power:.0} / {limit:.0} W"),
            (power, _) => with_unit(power, "W"),
        };
        let cell = |key| {
            Some(text(of, key))
                .filter(|cell| !cell.is_empty())
                .unwrap_or_else(absent)
        };
        vec![
            cell(key::NVIDIA_GPU_INDEX),
            cell(key::HW_NAME),
            cell(key::HW_MODEL),
            cell(key::ACCEL_DEVICE_ADDRESS),
            state(series, of),
            percent(value(&hw::GPU_UTILIZATION, &[(key::HW_GPU_TASK, "general")])),
            memory(value(&hw::GPU_MEMORY_USAGE, &[]), value(&hw::GPU_MEMORY_LIMIT, &[])),
            power,
            with_unit(value(&hw::TEMPERATURE, &[(key::HW_SENSOR_LOCATION, "gpu")]), "°C"),
        ]
    };
    let mut infos: Vec<_> = series.of(&nvidia::DEVICE_INFO).collect();
    infos.sort_by_key(|info| info.attributes.get(key::NVIDIA_GPU_INDEX).cloned());
    infos.into_iter().map(row).collect()
}

fn processes(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let is_of_gpu = |one: &&Series| gpu(series, &one.attributes).is_some();
    let row = |one: &Series| {
        let of = &one.attributes;
        let mebibytes = number(Some(&one)).map(|bytes| bytes / MIB);
        vec![
            gpu(series, of).map_or_else(absent, |info| text(&info.attributes, key::NVIDIA_GPU_INDEX)),
            process(of),
            owner(of),
            percent(busy(series, of)),
            format!("{} MiB", whole(mebibytes)),
        ]
    };
    series
        .of(&accel::PROCESS_MEMORY_USAGE)
        .filter(is_of_gpu)
        .map(row)
        .collect()
}

fn gpu<'a>(series: &Lookup<'a>, of: &Attributes) -> Option<&'a Series> {
    let id = of.get(key::HW_ID);
    series
        .of(&nvidia::DEVICE_INFO)
        .find(|info| id.is_some() && info.attributes.get(key::HW_ID) == id)
}

/// Series of the same process: its utilization has the same attributes and the unit in addition.
fn busy(series: &Lookup<'_>, of: &Attributes) -> Option<f64> {
    let of_unit = of.with([(key::HW_GPU_TASK, "general".into())]);
    series.value(&accel::PROCESS_UTILIZATION, &of_unit)
}

/// Value of that GPU with these further attributes.
fn find(series: &Lookup<'_>, instrument: &Instrument, of: &Attributes, more: &[(&str, &str)]) -> Option<f64> {
    let id = of.get(key::HW_ID)?;
    let fits = |one: &&Series| {
        one.attributes.get(key::HW_ID) == Some(id)
            && more.iter().all(|(key, value)| text(&one.attributes, key) == *value)
    };
    number(series.of(instrument).find(fits).as_ref())
}

/// Name of the current state in a state set.
fn state(series: &Lookup<'_>, of: &Attributes) -> String {
    let id = of.get(key::HW_ID);
    let is_true =
        |one: &&Series| one.attributes.get(key::HW_ID) == id && number(Some(one)).is_some_and(|value| value > 0.0);
    let state = series.of(&hw::STATUS).find(is_true);
    state.map_or_else(absent, |one| text(&one.attributes, key::HW_STATE))
}

fn memory(used: Option<f64>, limit: Option<f64>) -> String {
    let mebibytes = |bytes: Option<f64>| whole(bytes.map(|bytes| bytes / MIB));
    match (used, limit) {
        (None, None) => absent(),
        (used, limit) => format!("{} / {} MiB", mebibytes(used), mebibytes(limit)),
    }
}
