//! The points of a pass so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::nvml::NvmlError;
use accelscope_core::metric::{Attribute, Attributes, CounterStarts, Instrument, Point, Timestamp, Value};

/// Points, and the readings without a point. [`gauge`](Self::gauge) and [`total`](Self::total) serve most readings;
/// [`push`](Self::push) takes any point.
#[derive(Debug)]
pub(super) struct Recorder {
    points: Vec<Point>,
    skipped: BTreeMap<String, u64>,
    starts: CounterStarts,
    boot: Timestamp,
    time: Timestamp,
    fatal: Option<NvmlError>,
}

impl Recorder {
    /// `boot` is the boot time of the host, the lower bound of a hardware counter's start time.
    pub(super) fn new(boot: Timestamp) -> Self {
        Self {
            points: Vec::new(),
            skipped: BTreeMap::new(),
            starts: CounterStarts::default(),
            boot,
            time: boot,
            fatal: None,
        }
    }

    /// Sets the time of the points that follow to now.
    pub(super) fn now(&mut self) -> Timestamp {
        self.time = Timestamp::now();
        self.time
    }

    /// A gauge with the attributes `label` and `more`.
    pub(super) fn gauge(
        &mut self,
        instrument: &'static Instrument,
        label: &Attributes,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        let point = self.point(instrument, label.with(more).into(), value.into());
        self.points.push(point);
    }

    /// A gauge of an integer; one beyond an `i64` is left out.
    pub(super) fn whole(
        &mut self,
        instrument: &'static Instrument,
        label: &Attributes,
        more: impl IntoIterator<Item = Attribute>,
        value: impl TryInto<i64>,
    ) {
        match value.try_into() {
            Ok(value) => self.gauge(instrument, label, more, value),
            Err(_) => self.skip("out_of_range"),
        }
    }

    /// A cumulative value from a hardware counter.
    pub(super) fn total(
        &mut self,
        instrument: &'static Instrument,
        label: &Attributes,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        let mut point = self.point(instrument, label.with(more).into(), value.into());
        point.start = Some(self.boot);
        self.starts.set_start(&mut point);
        self.points.push(point);
    }

    /// A cumulative integer from a hardware counter; one beyond an `i64` is left out.
    pub(super) fn count(
        &mut self,
        instrument: &'static Instrument,
        label: &Attributes,
        more: impl IntoIterator<Item = Attribute>,
        value: u64,
    ) {
        match i64::try_from(value) {
            Ok(value) => self.total(instrument, label, more, value),
            Err(_) => self.skip("out_of_range"),
        }
    }

    /// Any point.
    pub(super) fn push(&mut self, point: Point) {
        self.points.push(point);
    }

    /// Counts a reading without a point (`agent.sampler.skipped`); lower-case letters, digits, `_`, `.` and `-`.
    pub(super) fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }

    /// Records an error after which every call fails in this process.
    pub(super) fn fail(&mut self, error: NvmlError) {
        self.fatal.get_or_insert(error);
    }

    pub(super) const fn fatal(&self) -> Option<NvmlError> {
        self.fatal
    }

    /// Takes everything recorded since the last call.
    pub(super) fn take(&mut self) -> (Vec<Point>, BTreeMap<String, u64>) {
        (std::mem::take(&mut self.points), std::mem::take(&mut self.skipped))
    }

    fn point(&self, instrument: &'static Instrument, attributes: Arc<Attributes>, value: Value) -> Point {
        Point {
            instrument,
            attributes,
            owner: None,
            value,
            time: self.time,
            start: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::nvidia;
    use accelscope_core::metric::key;

    #[test]
    fn a_count_that_falls_started_after_it_was_read_before() {
        let boot = Timestamp::from_unix_nanos(1);
        let mut recorder = Recorder::new(boot);
        let label = Attributes::new([(key::HW_ID, "GPU-1".into())]);
        let mut read = |count| {
            let now = recorder.now();
            recorder.count(&nvidia::PCIE_REPLAYS, &label, [], count);
            let (points, _) = recorder.take();
            (now, points[0].start.unwrap(), points[0].value.clone())
        };
        assert_eq!((read(5).1, read(5).1), (boot, boot));
        let (before, start, _) = read(7);
        assert_eq!(start, boot);
        let (_, start, value) = read(2);
        assert_eq!((start, value), (before, Value::Int(2)));
        assert_eq!(read(3).1, before);
    }
}
