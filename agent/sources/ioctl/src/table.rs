//! Sections of the live table: calls to device nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalogue;
use accelscope_core::metric::{Attribute, Kind, Series, key};
use accelscope_core::table::{
    Lookup, Rates, Section, absent, decimal, name, number, owner, process, text, value, whole,
};

/// Keys that distinguish the activities of one owner on one device.
const WITHIN: [&str; 3] = [key::ACCEL_IOCTL_COMMAND, key::ERROR_TYPE, key::ACCEL_IO_DIRECTION];

/// Activity of one owner on one device.
#[derive(Debug, Default)]
struct Row<'a> {
    named: Option<&'a Series>,
    open: Option<f64>,
    calls: Option<f64>,
    failed: Option<f64>,
    bytes: Option<f64>,
    buckets: Vec<u64>,
    in_flight: Option<f64>,
    oldest: Option<f64>,
}

/// The sections.
pub(super) const SECTIONS: &[Section] = &[Section {
    title: "CALLS",
    columns: &[
        name("DEVICE"),
        name("PROCESS"),
        name("POD OR UNIT"),
        value("OPEN"),
        value("CALLS/S"),
        value("FAILED/S"),
        value("BYTES/S"),
        value("P50"),
        value("P99"),
        value("IN FLIGHT"),
        value("OLDEST"),
    ],
    rated: |instrument| [&catalogue::CALLS, &catalogue::DURATION].contains(&instrument) || is_io(instrument.name),
    rows: calls,
}];

fn calls(series: &Lookup<'_>, recent: &Rates) -> Vec<Vec<String>> {
    let mut rows: BTreeMap<Vec<Attribute>, Row<'_>> = BTreeMap::new();
    for one in series.of(&catalogue::DEVICE_PROCESSES) {
        row(&mut rows, one).open = number(Some(&one));
    }
    for one in series.of(&catalogue::INFLIGHT) {
        row(&mut rows, one).in_flight = number(Some(&one));
    }
    for one in series.of(&catalogue::INFLIGHT_AGE) {
        row(&mut rows, one).oldest = number(Some(&one));
    }
    for one in series.of(&catalogue::CALLS) {
        let row = row(&mut rows, one);
        let rate = recent.rate(one);
        *row.calls.get_or_insert_default() += rate;
        if one.attributes.get(key::ERROR_TYPE).is_some() {
            *row.failed.get_or_insert_default() += rate;
        }
    }
    for one in series.named(is_io) {
        *row(&mut rows, one).bytes.get_or_insert_default() += recent.rate(one);
    }
    let of_no_command = |one: &&Series| one.attributes.get(key::ACCEL_IOCTL_COMMAND).is_none();
    for one in series.of(&catalogue::DURATION).filter(of_no_command) {
        row(&mut rows, one).buckets = recent.grown(one);
    }
    rows.values().filter_map(cells).collect()
}

/// Whether an instrument counts the bytes that calls of some family transfer, such as `acme.ioctl.io`.
fn is_io(name: &str) -> bool {
    name.ends_with(".ioctl.io")
}

fn row<'a, 'b>(rows: &'b mut BTreeMap<Vec<Attribute>, Row<'a>>, one: &'a Series) -> &'b mut Row<'a> {
    let of = one.attributes.iter().filter(|(key, _)| !WITHIN.contains(key));
    let row = rows.entry(of.cloned().collect()).or_default();
    row.named.get_or_insert(one);
    row
}

fn cells(row: &Row<'_>) -> Option<Vec<String>> {
    let of = &row.named?.attributes;
    // A device without holders and calls has no row.
    if row.calls.is_none() && row.open.is_none_or(|open| open == 0.0) && row.in_flight.is_none() {
        return None;
    }
    Some(vec![
        text(of, key::ACCEL_DEVICE_NAME),
        process(of),
        owner(of),
        whole(row.open),
        decimal(row.calls),
        decimal(row.failed),
        whole(row.bytes),
        quantile(&row.buckets, 0.5),
        quantile(&row.buckets, 0.99),
        whole(row.in_flight),
        row.oldest.filter(|age| *age > 0.0).map_or_else(absent, time),
    ])
}

/// Within its bucket by linear interpolation, as Prometheus' `histogram_quantile` does it.
fn quantile(buckets: &[u64], at: f64) -> String {
    let Kind::Histogram(bounds) = catalogue::DURATION.kind else {
        return absent();
    };
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return absent();
    }
    let rank = at * total as f64;
    let mut below = 0.0;
    for (place, count) in buckets.iter().enumerate() {
        let count = *count as f64;
        if below + count >= rank && count > 0.0 {
            let Some(upper) = bounds.get(place) else { break };
            let lower = place.checked_sub(1).map_or(0.0, |before| bounds[before]);
            return time(lower + (upper - lower) * (rank - below) / count);
        }
        below += count;
    }
    format!("> {}", time(bounds.last().copied().unwrap_or_default()))
}

fn time(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    format!("{time:.1?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut buckets = [0; 13];
        assert_eq!(quantile(&buckets, 0.5), "-");
        buckets[0] = 50;
        buckets[2] = 49;
        buckets[12] = 1;
        assert_eq!(quantile(&buckets, 0.5), "1.0µs");
        assert_eq!(quantile(&buckets, 0.99), "16.0µs");
        assert_eq!(quantile(&buckets, 0.999), "> 4.2s");
    }
}
