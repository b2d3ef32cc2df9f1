//! Sections of the live table: Ascend NPUs.

use crate::catalogue as ascend;
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
        title: "ASCEND",
        columns: &[
            name("NPU"),
            name("CHIP"),
            name("MODEL"),
            name("ADDRESS"),
            name("HEALTH"),
            value("POWER"),
            value("TEMPERATURE"),
            value("UTILIZATION"),
            value("HBM"),
            value("DDR"),
        ],
        rated: |_| false,
        rows: chips,
    },
    Section {
        title: "ASCEND PROCESSES",
        columns: &[
            name("NPU"),
            name("CHIP"),
            name("PROCESS"),
            name("POD OR UNIT"),
            value("MEMORY"),
        ],
        rated: |_| false,
        rows: processes,
    },
];

fn chips(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |info: &Series| {
        let of = &info.attributes;
        let value = |instrument| series.of(instrument).find(|one| same_chip(&one.attributes, of));
        let with_unit = |instrument, unit: &str| {
            number(value(instrument).as_ref()).map_or_else(absent, |value| format!("{value:.1} {unit}"))
        };
        vec![
            text(of, key::ASCEND_NPU_ID),
            text(of, key::ASCEND_CHIP_ID),
            text(of, key::HW_MODEL),
            text(of, key::ACCEL_DEVICE_ADDRESS),
            health(series, of),
            with_unit(&hw::POWER, "W"),
            with_unit(&hw::TEMPERATURE, "°C"),
            percent(number(value(&hw::NPU_UTILIZATION).as_ref())),
            memory(series, of, "hbm"),
            memory(series, of, "ddr"),
        ]
    };
    let mut infos: Vec<_> = series.of(&ascend::DEVICE_INFO).collect();
    infos.sort_by_key(|info| [key::ASCEND_NPU_ID, key::ASCEND_CHIP_ID].map(|key| info.attributes.get(key).cloned()));
    infos.into_iter().map(row).collect()
}

fn processes(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |one: &Series| {
        let of = &one.attributes;
        let mebibytes = number(Some(&one)).map(|bytes| bytes / MIB);
        vec![
            text(of, key::ASCEND_NPU_ID),
            text(of, key::ASCEND_CHIP_ID),
            process(of),
            owner(of),
            format!("{} MiB", whole(mebibytes)),
        ]
    };
    let of_ascend = |one: &&Series| one.attributes.get(key::ASCEND_NPU_ID).is_some();
    series
        .of(&accel::PROCESS_MEMORY_USAGE)
        .filter(of_ascend)
        .map(row)
        .collect()
}

/// Bus ids repeat; a chip is its NPU's id and its own.
fn same_chip(one: &Attributes, other: &Attributes) -> bool {
    [key::ASCEND_NPU_ID, key::ASCEND_CHIP_ID]
        .into_iter()
        .all(|key| one.get(key) == other.get(key))
}

/// The word of the state set that is true.
fn health(series: &Lookup<'_>, of: &Attributes) -> String {
    let is_true = |one: &&Series| same_chip(&one.attributes, of) && number(Some(one)).is_some_and(|value| value > 0.0);
    let state = series.of(&ascend::HEALTH_STATUS).find(is_true);
    state.map_or_else(absent, |one| text(&one.attributes, key::ASCEND_HEALTH))
}

fn memory(series: &Lookup<'_>, of: &Attributes, kind: &str) -> String {
    let mebibytes = |instrument: &Instrument| {
        let all = &mut series.of(instrument);
        let of_kind =
            |one: &&Series| same_chip(&one.attributes, of) && text(&one.attributes, key::ASCEND_MEMORY_TYPE) == kind;
        number(all.find(of_kind).as_ref()).map(|bytes| bytes / MIB)
    };
    match (mebibytes(&hw::NPU_MEMORY_USAGE), mebibytes(&hw::NPU_MEMORY_LIMIT)) {
        (None, None) => absent(),
        (used, limit) => format!("{} / {} MiB", whole(used), whole(limit)),
    }
}
