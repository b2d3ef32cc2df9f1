//! Start times of cumulative values that something else counts: hardware, a driver, another process.
//!
//! The OpenTelemetry data model wants a new start time after each reset (Metrics Data Model, "Resets and Gaps"). A reset
//! shows only as a decrease, and happened at some time after the previous read.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Attributes, Point, Timestamp, Value};

/// Most series that are remembered; beyond it, all are forgotten.
const MAX_SERIES: usize = 20_000;

/// The last value and the start time of each series, by instrument and attributes.
#[derive(Debug, Default)]
pub struct CounterStarts(HashMap<(&'static str, Arc<Attributes>), Last>);

#[derive(Debug, Clone, Copy)]
struct Last {
    value: f64,
    time: Timestamp,
    start: Timestamp,
}

impl CounterStarts {
    /// Sets the start time of a cumulative point. Its source has set it to the earliest time at which the counter can
    /// have been zero, for a hardware counter the boot time; a point without one is left as it is.
    ///
    /// It stays the same while the value grows. After a decrease it is the time of the previous read. A source that knows
    /// of a reset between the two reads gives its time, and that is kept: a start equal to the point's own time is no
    /// such knowledge, since the value was counted before it.
    pub fn set_start(&mut self, point: &mut Point) {
        let Some(earliest) = point.start else { return };
        let value = match &point.value {
            Value::Histogram(histogram) => histogram.count as f64,
            Value::Int(number) => *number as f64,
            Value::Double(number) => *number,
        };
        let key = (point.instrument.name, Arc::clone(&point.attributes));
        let start = match self.0.get(&key) {
            Some(last) if earliest > last.time && earliest < point.time => earliest,
            Some(last) if value < last.value => last.time,
            Some(last) => last.start,
            None => earliest.min(point.time),
        };
        if self.0.len() >= MAX_SERIES && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let time = point.time;
        self.0.insert(key, Last { value, time, start });
        point.start = Some(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::catalogue::hw;

    /// Start time of each of these reads: time, start time that the source gives, value.
    fn starts(reads: &[(u64, u64, f64)]) -> Vec<u64> {
        let mut starts = CounterStarts::default();
        let start = |(time, start, value): &(u64, u64, f64)| {
            let mut point = Point {
                instrument: &hw::ENERGY,
                attributes: Arc::new(Attributes::empty()),
                owner: None,
                value: (*value).into(),
                time: Timestamp::from_unix_nanos(*time),
                start: Some(Timestamp::from_unix_nanos(*start)),
            };
            starts.set_start(&mut point);
            point.start.unwrap().unix_nanos()
        };
        reads.iter().map(start).collect()
    }

    #[test]
    fn a_start_stays_while_the_value_grows_and_is_the_previous_read_after_a_decrease() {
        let reads = [
            (100, 10, 5.0),
            // Another process computes another boot time.
            (110, 12, 6.0),
            (120, 10, 2.0),
            (130, 10, 3.0),
            // The source knows of a reset.
            (140, 135, 4.0),
            (150, 135, 4.0),
        ];
        assert_eq!(starts(&reads), [10, 10, 110, 110, 135, 135]);
    }

    #[test]
    fn no_value_starts_at_its_own_time_once_it_was_read_before() {
        assert_eq!(
            starts(&[(100, 10, 5.0), (110, 110, 1.0), (120, 110, 2.0)]),
            [10, 100, 100]
        );
        assert_eq!(starts(&[(100, 200, 5.0)]), [100], "nor after it");
    }
}
