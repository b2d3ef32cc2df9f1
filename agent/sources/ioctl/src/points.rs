//! From totals to points.

use std::sync::Arc;

use super::attribute_cache::{AttributeCache, Detail};
use super::device_table::DeviceTable;
use super::drain::{Activity, ActivityKey, Drain, Durations};
use crate::catalogue::calls;
use accelscope_core::metric::{Instrument, Owner, Point, Timestamp, Value};

/// The points of all owners that made calls.
pub(super) fn points(
    drain: &Drain,
    attributes: &mut AttributeCache,
    devices: &DeviceTable,
    time: Timestamp,
) -> Vec<Point> {
    let mut points = Vec::new();
    for (key, activity) in drain.activities() {
        let mut builder = Builder {
            key,
            activity,
            time,
            attributes,
            devices,
            points: &mut points,
        };
        builder.calls();
        builder.durations();
        builder.in_flight();
        builder.arguments();
    }
    points
}

/// Adds the points of one owner and device.
struct Builder<'a> {
    key: &'a ActivityKey,
    activity: &'a Activity,
    time: Timestamp,
    attributes: &'a mut AttributeCache,
    devices: &'a DeviceTable,
    points: &'a mut Vec<Point>,
}

impl Builder<'_> {
    fn calls(&mut self) {
        for (command, calls) in &self.activity.commands {
            let since = calls.since.unwrap_or(self.activity.since);
            if calls.succeeded > 0 {
                self.count(&calls::CALLS, Detail::Command(command.clone()), calls.succeeded, since);
            }
            for (errno, count) in &calls.failed {
                self.count(&calls::CALLS, Detail::Failed(command.clone(), *errno), *count, since);
            }
        }
    }

    fn durations(&mut self) {
        self.duration(Detail::Device, &self.activity.durations);
        for (command, durations) in &self.activity.own_durations {
            self.duration(Detail::Command(command.clone()), durations);
        }
    }

    fn in_flight(&mut self) {
        let (in_flight, oldest) = (self.activity.in_flight as i64, self.activity.oldest.as_secs_f64());
        self.push(&calls::INFLIGHT, Detail::Device, Value::Int(in_flight), None);
        self.push(&calls::INFLIGHT_AGE, Detail::Device, Value::Double(oldest), None);
    }

    fn arguments(&mut self) {
        let device = self.devices.newest(self.key.device);
        let Some(instruments) = device.and_then(|device| device.family.arguments) else {
            return;
        };
        let (activity, since) = (self.activity, self.activity.since);
        for at in 0..2 {
            if activity.transfers[at] > 0 {
                self.count(
                    instruments.transfers,
                    Detail::Direction(at),
                    activity.transfers[at],
                    since,
                );
                self.count(instruments.io, Detail::Direction(at), activity.bytes[at], since);
            }
        }
        for (instrument, count) in [
            (instruments.frames, activity.frames()),
            (instruments.switches, activity.switches),
        ] {
            if count > 0 {
                self.count(instrument, Detail::Device, count, since);
            }
        }
    }

    fn duration(&mut self, detail: Detail, durations: &Durations) {
        if let Some(histogram) = durations.histogram() {
            let value = Value::Histogram(Arc::new(histogram));
            self.push(&calls::DURATION, detail, value, Some(self.activity.since));
        }
    }

    fn count(&mut self, instrument: &'static Instrument, detail: Detail, count: u64, since: Timestamp) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.push(instrument, detail, Value::Int(count), Some(since));
    }

    fn push(&mut self, instrument: &'static Instrument, detail: Detail, value: Value, start: Option<Timestamp>) {
        let attributes = self.attributes.get(self.devices, self.key.device, detail);
        self.points.extend(attributes.map(|attributes| Point {
            instrument,
            attributes,
            owner: Some(Owner::Cgroup(self.key.owner.clone())),
            value,
            time: self.time,
            start,
        }));
    }
}
