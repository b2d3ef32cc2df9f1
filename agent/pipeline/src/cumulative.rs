//! Cumulative readings to deltas, and deltas to a cumulative value: how several counters become one.
//!
//! A total that only grows is made of the growth of its parts, so that it keeps what a part counted that is gone.

use std::time::Duration;

use super::arithmetic::{growth, sum};
use accelscope_core::metric::{Point, Timestamp, Value};

/// How long the state of a counter is kept after its last reading, where nothing shows that it has ended. Longer than any
/// sampler's period, so that one that only paused is not counted again.
pub(crate) const RETENTION: Duration = Duration::from_hours(1);

/// What a counter or histogram grew by between two readings.
#[derive(Debug)]
pub(crate) struct Delta {
    value: Value,
    /// Time of the earlier reading; start of the counter for its first one.
    since: Timestamp,
}

/// State of one counter or histogram that is read.
#[derive(Debug, Default)]
pub(crate) struct CumulativeToDelta {
    last: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    value: Value,
    start: Option<Timestamp>,
    time: Timestamp,
}

impl CumulativeToDelta {
    /// Growth since the last reading. All that was counted before the first one belongs to it.
    pub(crate) fn next(&mut self, point: &Point) -> Delta {
        let delta = match &self.last {
            None => Delta {
                value: point.value.clone(),
                since: point.start.unwrap_or(point.time),
            },
            Some(last) => {
                let before = (!last.is_restarted_by(point)).then_some(&last.value);
                Delta {
                    value: growth(before, &point.value),
                    since: last.time,
                }
            }
        };
        self.last = Some(Reading {
            value: point.value.clone(),
            start: point.start,
            time: point.time,
        });
        delta
    }

    /// Whether this is a reading of another count than the last one was.
    pub(crate) fn is_restarted_by(&self, point: &Point) -> bool {
        self.last.as_ref().is_some_and(|last| last.is_restarted_by(point))
    }

    /// Time of the last reading.
    pub(crate) fn last_read(&self) -> Option<Timestamp> {
        self.last.as_ref().map(|last| last.time)
    }
}

impl Reading {
    /// A start after the last reading is another count, whatever its value. An earlier one that differs is the same count
    /// under a clock that was set.
    fn is_restarted_by(&self, point: &Point) -> bool {
        point.start > self.start && point.start.is_some_and(|start| start >= self.time)
    }
}

/// State of one series that is the sum of several counters or histograms. Starts with its first delta.
#[derive(Debug, Default)]
pub(crate) struct DeltaToCumulative {
    total: Option<(Value, Timestamp)>,
}

impl DeltaToCumulative {
    /// Adds to the total, which becomes the value of `point`.
    pub(crate) fn add(&mut self, delta: Delta, point: &mut Point) {
        let (value, start) = match self.total.take() {
            Some((total, start)) => (sum(&total, &delta.value), start),
            None => (delta.value, delta.since),
        };
        point.value = value.clone();
        point.start = Some(start);
        self.total = Some((value, start));
    }
}
