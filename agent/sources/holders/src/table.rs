//! Section of the live table: who holds an accelerator, and what that waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue as of;
use super::key::{ACCEL_DEVICE_NAME, ACCEL_HOLDER_REASON, ACCEL_HOLDER_RESOURCE, ACCEL_HOLDER_STALL, HW_ID};
use accelscope_core::metric::{Attribute, Instrument, Series};
use accelscope_core::table::{Lookup, Rates, Section, absent, name, number, owner, percent, text, value};

/// Keys that distinguish the series of one holder.
const WITHIN: [&str; 5] = [
    HW_ID,
    ACCEL_DEVICE_NAME,
    ACCEL_HOLDER_REASON,
    ACCEL_HOLDER_RESOURCE,
    ACCEL_HOLDER_STALL,
];

/// Share of the time from which on a wait is named.
const MUCH: f64 = 0.1;
/// Most devices that are named.
const MAX_NAMED: usize = 4;

/// The reasons in the order of the columns, with their words.
const REASONS: [(&str, &str); 4] = [
    ("cpu_quota", "cpu quota"),
    ("cpu", "cpu"),
    ("memory", "memory"),
    ("io", "io"),
];

/// The section.
pub(super) const SECTIONS: &[Section] = &[Section {
    title: "HOLDERS",
    columns: &[
        name("POD OR UNIT"),
        name("DEVICES"),
        value("THROTTLED"),
        value("QUEUED"),
        value("MEMORY STALL"),
        value("IO STALL"),
        value("MEMORY"),
        value("LIMIT"),
        name("WAITS FOR"),
    ],
    rated: |_| false,
    rows,
}];

/// One holder.
#[derive(Debug, Default)]
struct Row<'a> {
    named: Option<&'a Series>,
    devices: BTreeSet<String>,
    shares: [Option<f64>; 4],
    memory: Option<f64>,
    limit: Option<f64>,
}

fn rows(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let mut rows: BTreeMap<Vec<Attribute>, Row<'_>> = BTreeMap::new();
    for one in series.of(&of::DEVICE) {
        let name = text(&one.attributes, ACCEL_DEVICE_NAME);
        let name = if name.is_empty() {
            series.device(&one.attributes)
        } else {
            name
        };
        row(&mut rows, one).devices.insert(name);
    }
    for one in series.of(&of::PROCESSES) {
        row(&mut rows, one);
    }
    for one in series.of(&of::WAITING) {
        let reason = text(&one.attributes, ACCEL_HOLDER_REASON);
        if let Some(at) = REASONS.iter().position(|(key, _)| *key == reason) {
            row(&mut rows, one).shares[at] = number(Some(&one));
        }
    }
    let memory: [&Instrument; 2] = [&of::CONTAINER_MEMORY_USAGE, &of::MEMORY_USAGE];
    for one in memory.into_iter().flat_map(|instrument| series.of(instrument)) {
        row(&mut rows, one).memory = number(Some(&one));
    }
    for one in series.of(&of::MEMORY_LIMIT) {
        row(&mut rows, one).limit = number(Some(&one));
    }
    rows.values().filter_map(cells).collect()
}

fn row<'a, 'b>(rows: &'b mut BTreeMap<Vec<Attribute>, Row<'a>>, one: &'a Series) -> &'b mut Row<'a> {
    let of = one.attributes.iter().filter(|(key, _)| !WITHIN.contains(key));
    let row = rows.entry(of.cloned().collect()).or_default();
    row.named.get_or_insert(one);
    row
}

fn cells(row: &Row<'_>) -> Option<Vec<String>> {
    let of = &row.named?.attributes;
    let mut cells = vec![owner(of), devices(&row.devices)];
    cells.extend(row.shares.map(percent));
    cells.extend([row.memory, row.limit].map(mebibytes));
    cells.push(waits_for(row.shares));
    Some(cells)
}

fn devices(all: &BTreeSet<String>) -> String {
    let named: Vec<&str> = all.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = all.len().saturating_sub(named.len());
    match (named.is_empty(), more) {
        (true, _) => absent(),
        (false, 0) => named.join(", "),
        (false, more) => format!("{} and {more} more", named.join(", ")),
    }
}

/// What it waited for during more than a tenth of the time. Who is throttled waits in the queue too: that is not named twice.
fn waits_for(shares: [Option<f64>; 4]) -> String {
    let is_much = |at: usize| shares[at].is_some_and(|share| share > MUCH);
    let named = REASONS.iter().enumerate().filter(|(at, (reason, _))| {
        let is_throttled = *reason == "cpu" && is_much(0);
        is_much(*at) && !is_throttled
    });
    named.map(|(_, (_, words))| *words).collect::<Vec<_>>().join(", ")
}

fn mebibytes(bytes: Option<f64>) -> String {
    bytes.map_or_else(absent, |bytes| format!("{:.0} MiB", bytes / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_more_than_a_tenth_of_the_time_is_named() {
        for (shares, expected) in [
            ([Some(0.8), Some(0.9), Some(0.0), None], "cpu quota"),
            ([Some(0.1), Some(0.11), None, None], "cpu"),
            ([Some(0.0), Some(0.1), Some(0.5), Some(0.3)], "memory, io"),
            ([None; 4], ""),
        ] {
            assert_eq!(waits_for(shares), expected, "{shares:?}");
        }
    }

    #[test]
    fn many_devices_are_counted() {
        let all = |most: usize| (0..most).map(|nth| format!("gpu{nth}")).collect();
        assert_eq!(devices(&all(0)), "-");
        assert_eq!(devices(&all(2)), "gpu0, gpu1");
        assert_eq!(devices(&all(8)), "gpu0, gpu1, gpu2, gpu3 and 4 more");
    }
}
