//! Section of the live table: faults, the last first.

use crate::key;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Series, Timestamp};
use accelscope_core::table::{Lookup, Rates, Section, name, number, text, value, whole};

/// Most rows.
const MAX_ROWS: usize = 32;

/// The sections.
pub(super) const SECTIONS: &[Section] = &[Section {
    title: "FAULTS",
    columns: &[
        name("DEVICE"),
        name("FAULT"),
        name("CODE"),
        value("SINCE START"),
        name("LAST"),
    ],
    rated: |_| false,
    rows: faults,
}];

fn faults(series: &Lookup<'_>, _: &Rates) -> Vec<Vec<String>> {
    let row = |last: &Series| {
        let of = &last.attributes;
        let code = [key::NVIDIA_XID, key::NVIDIA_SXID].map(|code| text(of, code)).concat();
        let code = if code.is_empty() { "-".to_owned() } else { code };
        let time = number(Some(&last)).map_or_else(String::new, time);
        vec![
            series.device(of),
            text(of, key::ERROR_TYPE),
            code,
            whole(count(series, last)),
            time,
        ]
    };
    let mut all: Vec<&Series> = series.of(&accel::FAULT_LAST_SEEN).collect();
    let seconds = |last: &&Series| number(Some(last)).unwrap_or_default();
    all.sort_by(|a, b| seconds(b).total_cmp(&seconds(a)));
    all.into_iter().take(MAX_ROWS).map(row).collect()
}

/// How many there were of that device, kind and code, in all MIG instances.
fn count(series: &Lookup<'_>, last: &Series) -> Option<f64> {
    let keys = [key::HW_ID, key::ERROR_TYPE, key::NVIDIA_XID, key::NVIDIA_SXID];
    let is_same = |one: &&Series| {
        keys.iter()
            .all(|key| one.attributes.get(key) == last.attributes.get(key))
    };
    let counts = series.of(&hw::ERRORS).filter(is_same);
    counts
        .filter_map(|one| number(Some(&one)))
        .reduce(|sum, count| sum + count)
}

/// RFC 3339 in UTC, to the second.
fn time(seconds: f64) -> String {
    let whole = Timestamp::from_unix_nanos((seconds.max(0.0) as u64).saturating_mul(1_000_000_000));
    let text = whole.to_string();
    text.split_once('.')
        .map_or(text.clone(), |(text, _)| format!("{text}Z"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use accelscope_core::metric::{Attributes, Instrument, Value};

    #[test]
    fn the_last_fault_is_first_with_the_count_of_all_its_instances() {
        let series = |instrument: &'static Instrument, of: Attributes, value: Value| Series {
            instrument,
            attributes: Arc::new(of),
            value: Some(value),
            time: Timestamp::now(),
            start: None,
        };
        let xid = |code: i64| {
            Attributes::new([
                (key::HW_ID, "GPU-a".into()),
                (key::ERROR_TYPE, "xid".into()),
                (key::NVIDIA_XID, code.into()),
            ])
        };
        let reset = Attributes::new([(key::HW_ID, "b".into()), (key::ERROR_TYPE, "reset".into())]);
        let all = [
            series(&accel::FAULT_LAST_SEEN, xid(94), 1_700_000_000.5.into()),
            series(&accel::FAULT_LAST_SEEN, reset, 1_700_000_060.0.into()),
            series(&hw::ERRORS, xid(94), 2_i64.into()),
            series(
                &hw::ERRORS,
                xid(94).with([(key::NVIDIA_GPU_INSTANCE, 5_i64.into())]),
                1_i64.into(),
            ),
            series(&hw::ERRORS, xid(79), 0_i64.into()),
        ];
        let rows = faults(&Lookup::new(&all), &Rates::default());
        assert_eq!(
            rows,
            [
                ["b", "reset", "-", "-", "2023-11-14T22:14:20Z"],
                ["GPU-a", "xid", "94", "3", "2023-11-14T22:13:20Z"],
            ]
        );
    }
}
