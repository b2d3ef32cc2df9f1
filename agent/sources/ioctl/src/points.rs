//! From totals to points.

use std::iter::once;
use std::sync::Arc;

use super::attribute_cache::{AttributeCache, Detail};
use super::device_table::{DeviceTable, OTHER};
use super::drain::{Activity, Drain, is_others};
use crate::catalogue::{CALLS, DURATION, INFLIGHT, INFLIGHT_AGE};
use accelscope_core::device::Arguments;
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, Timestamp, Value, key};

/// Adds a point of an owner and device, with the start of cumulative ones.
type Push<'a> = dyn FnMut(&'static Instrument, Detail, Value, Option<Timestamp>) + 'a;

/// The points of all owners that made calls.
pub(super) fn points(
    drain: &Drain,
    attributes: &mut AttributeCache,
    devices: &DeviceTable,
    time: Timestamp,
) -> Vec<Point> {
    let mut points = Vec::new();
    for (key, activity) in drain.activities() {
        let is_others = is_others(&key.owner);
        let push = &mut |instrument: &'static Instrument, detail, value, start| {
            let mut attributes = attributes.get(devices, key.device, detail);
            if is_others {
                let named = |set: Arc<Attributes>| Arc::new(set.with([(key::PROCESS_EXECUTABLE_NAME, OTHER.into())]));
                attributes = attributes.map(named);
            }
            points.extend(attributes.map(|attributes| Point {
                instrument,
                attributes,
                owner: (!is_others).then(|| Owner::Cgroup(key.owner.clone())),
                value,
                time,
                start,
            }));
        };
        calls(activity, push);
        let device = devices.newest(key.device);
        if let Some(instruments) = device.and_then(|device| device.family.arguments) {
            arguments(activity, instruments, push);
        }
    }
    points
}

fn calls(activity: &Activity, push: &mut Push<'_>) {
    for (command, calls) in &activity.commands {
        let since = Some(calls.since.unwrap_or(activity.since));
        if calls.succeeded > 0 {
            push(&CALLS, Detail::Command(command.clone()), count(calls.succeeded), since);
        }
        for (errno, failed) in &calls.failed {
            push(&CALLS, Detail::Failed(command.clone(), *errno), count(*failed), since);
        }
    }
    let own = activity.own_durations.iter();
    let own = own.map(|(command, durations)| (Detail::Command(command.clone()), durations));
    for (detail, durations) in once((Detail::Device, &activity.durations)).chain(own) {
        if let Some(histogram) = durations.histogram() {
            let value = Value::Histogram(Arc::new(histogram));
            push(&DURATION, detail, value, Some(activity.since));
        }
    }
    push(&INFLIGHT, Detail::Device, count(activity.in_flight), None);
    let oldest = Value::Double(activity.oldest.as_secs_f64());
    push(&INFLIGHT_AGE, Detail::Device, oldest, None);
}

fn arguments(activity: &Activity, instruments: &Arguments, push: &mut Push<'_>) {
    let since = Some(activity.since);
    for at in 0..2 {
        if activity.transfers[at] > 0 {
            let transfers = count(activity.transfers[at]);
            push(instruments.transfers, Detail::Direction(at), transfers, since);
            push(instruments.io, Detail::Direction(at), count(activity.bytes[at]), since);
        }
    }
    for (instrument, total) in [
        (instruments.frames, activity.frames()),
        (instruments.switches, activity.switches),
    ] {
        if total > 0 {
            push(instrument, Detail::Device, count(total), since);
        }
    }
}

fn count(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}
