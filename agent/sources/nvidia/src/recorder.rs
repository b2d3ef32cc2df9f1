//! The points of a pass so far.

use std::collections::BTreeMap;

use super::nvml::NvmlError;
use accelscope_core::metric::{Attribute, Attributes, Instrument, Point, Timestamp, Value};

/// Points, and the readings without a point. [`gauge`](Self::gauge) and [`total`](Self::total) serve most readings;
/// [`push`](Self::push) takes any point.
#[derive(Debug)]
pub(super) struct Recorder {
    points: Vec<Point>,
    skipped: BTreeMap<String, u64>,
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
        self.push(Point::new(instrument, label.with(more), value, self.time));
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

    /// A cumulative value from a hardware counter. The agent finds the start after a decrease.
    pub(super) fn total(
        &mut self,
        instrument: &'static Instrument,
        label: &Attributes,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        self.push(Point {
            start: Some(self.boot),
            ..Point::new(instrument, label.with(more), value, self.time)
        });
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

    /// What the agent itself counts since `start`.
    pub(super) fn since(
        &mut self,
        start: Timestamp,
        instrument: &'static Instrument,
        attributes: Attributes,
        count: i64,
    ) {
        self.push(Point {
            start: Some(start),
            ..Point::new(instrument, attributes, count, self.time)
        });
    }

    /// Any point.
    pub(super) fn push(&mut self, point: Point) {
        self.points.push(point);
    }

    /// Counts a reading without a point (`agent.sampler.skipped`); lower-case letters, digits, `_`, `.` and `-`.
    pub(super) fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }

    /// Records an error after which nothing can be read in this pass.
    pub(super) fn fail(&mut self, error: NvmlError) {
        self.fatal.get_or_insert(error);
    }

    /// Takes the error of this pass.
    pub(super) const fn take_fatal(&mut self) -> Option<NvmlError> {
        self.fatal.take()
    }

    /// Takes everything recorded since the last call.
    pub(super) fn take(&mut self) -> (Vec<Point>, BTreeMap<String, u64>) {
        (std::mem::take(&mut self.points), std::mem::take(&mut self.skipped))
    }
}
