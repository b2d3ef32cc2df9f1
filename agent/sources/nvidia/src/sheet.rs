//! What a pass has found so far.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::gpu::Gpu;
use super::nvml::NvmlError;
use accelscope_core::metric::{Attribute, Attributes, Instrument, Point, Timestamp, Value};

/// Points, and what gave none. [`gauge`](Self::gauge) and [`total`](Self::total) serve most readings;
/// [`push`](Self::push) takes any point.
#[derive(Debug)]
pub(super) struct Sheet {
    points: Vec<Point>,
    skipped: BTreeMap<String, u64>,
    starts: HashMap<(&'static str, Arc<Attributes>), Since>,
    boot: Timestamp,
    time: Timestamp,
    fatal: Option<NvmlError>,
}

/// A count of the hardware, and since when it has been growing.
#[derive(Debug, Clone, Copy)]
struct Since {
    value: f64,
    read: Timestamp,
    start: Timestamp,
}

impl Sheet {
    /// `boot` is when the host was booted: no hardware has counted for longer.
    pub(super) fn new(boot: Timestamp) -> Self {
        Self {
            points: Vec::new(),
            skipped: BTreeMap::new(),
            starts: HashMap::new(),
            boot,
            time: boot,
            fatal: None,
        }
    }

    /// What follows is read now.
    pub(super) fn now(&mut self) -> Timestamp {
        self.time = Timestamp::now();
        self.time
    }

    /// A value of a GPU.
    pub(super) fn gauge(
        &mut self,
        instrument: &'static Instrument,
        gpu: &Gpu,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        let point = self.point(instrument, gpu.label.with(more).into(), value.into());
        self.points.push(point);
    }

    /// A whole number that is no count of anything that could exceed an `i64`; one that does is left out.
    pub(super) fn whole(
        &mut self,
        instrument: &'static Instrument,
        gpu: &Gpu,
        more: impl IntoIterator<Item = Attribute>,
        value: impl TryInto<i64>,
    ) {
        match value.try_into() {
            Ok(value) => self.gauge(instrument, gpu, more, value),
            Err(_) => self.skip("out_of_range"),
        }
    }

    /// A counter as the hardware keeps it: growing since the host's boot at the longest, and where it fell, since it was
    /// read before.
    pub(super) fn total(
        &mut self,
        instrument: &'static Instrument,
        gpu: &Gpu,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        let value = value.into();
        let Some(number) = value.as_f64() else { return };
        let attributes = Arc::new(gpu.label.with(more));
        let before = self.starts.get(&(instrument.name, Arc::clone(&attributes)));
        let start = match before {
            Some(before) if number >= before.value => before.start,
            Some(before) => before.read,
            None => self.boot.min(self.time),
        };
        let since = Since {
            value: number,
            read: self.time,
            start,
        };
        self.starts.insert((instrument.name, Arc::clone(&attributes)), since);
        let point = self.point(instrument, attributes, value);
        self.points.push(Point {
            start: Some(start),
            ..point
        });
    }

    /// A count as the hardware keeps it; one beyond an `i64` is left out.
    pub(super) fn count(
        &mut self,
        instrument: &'static Instrument,
        gpu: &Gpu,
        more: impl IntoIterator<Item = Attribute>,
        value: u64,
    ) {
        match i64::try_from(value) {
            Ok(value) => self.total(instrument, gpu, more, value),
            Err(_) => self.skip("out_of_range"),
        }
    }

    /// Any point.
    pub(super) fn push(&mut self, point: Point) {
        self.points.push(point);
    }

    /// Counts something that gave no point (`agent.sampler.skipped`); lower-case letters, digits, `_`, `.` and `-`.
    pub(super) fn skip(&mut self, reason: impl Into<String>) {
        *self.skipped.entry(reason.into()).or_default() += 1;
    }

    /// Notes an error after which nothing works in this process any more.
    pub(super) fn fail(&mut self, error: NvmlError) {
        self.fatal.get_or_insert(error);
    }

    pub(super) const fn fatal(&self) -> Option<NvmlError> {
        self.fatal
    }

    /// Everything since the last call.
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
    use accelscope_core::metric::catalogue::nvidia;

    #[test]
    fn a_count_that_falls_started_after_it_was_read_before() {
        let boot = Timestamp::from_unix_nanos(1);
        let mut sheet = Sheet::new(boot);
        let gpu = Gpu::of_test("GPU-1");
        let mut read = |count| {
            let now = sheet.now();
            sheet.count(&nvidia::PCIE_REPLAYS, &gpu, [], count);
            let (points, _) = sheet.take();
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
