//! From totals to points.

use std::sync::Arc;

use super::drain::{Distribution, Drain, Subject, SubjectKey};
use super::labels::{Labels, What};
use super::places::Places;
use accelscope_core::metric::catalogue::calls;
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, Timestamp, Value};

/// The points of everybody who did something.
pub(super) fn points(drain: &Drain, labels: &mut Labels, places: &Places, time: Timestamp) -> Vec<Point> {
    let mut points = Vec::new();
    for (key, subject) in drain.subjects() {
        let mut of = Of {
            key,
            since: subject.since,
            time,
            labels,
            places,
            points: &mut points,
        };
        of.calls(subject);
        of.durations(subject);
        of.in_flight(subject);
        of.activity(subject);
    }
    points
}

/// The points of one subject.
struct Of<'a> {
    key: &'a SubjectKey,
    since: Timestamp,
    time: Timestamp,
    labels: &'a mut Labels,
    places: &'a Places,
    points: &'a mut Vec<Point>,
}

impl Of<'_> {
    fn calls(&mut self, subject: &Subject) {
        for (command, calls) in &subject.commands {
            self.since = calls.since.unwrap_or(subject.since);
            if calls.succeeded > 0 {
                self.count(&calls::CALLS, What::Command(command.clone()), calls.succeeded);
            }
            for (errno, count) in &calls.failed {
                self.count(&calls::CALLS, What::Failed(command.clone(), *errno), *count);
            }
        }
        self.since = subject.since;
    }

    fn durations(&mut self, subject: &Subject) {
        self.duration(What::Device, &subject.durations);
        for (command, durations) in &subject.own_durations {
            self.duration(What::Command(command.clone()), durations);
        }
    }

    fn in_flight(&mut self, subject: &Subject) {
        self.gauge(&calls::INFLIGHT, Value::Int(subject.in_flight as i64));
        self.gauge(&calls::INFLIGHT_AGE, Value::Double(subject.oldest.as_secs_f64()));
    }

    fn activity(&mut self, subject: &Subject) {
        for at in 0..2 {
            if subject.transfers[at] > 0 {
                self.count(&calls::HAILO_TRANSFERS, What::Direction(at), subject.transfers[at]);
                self.count(&calls::HAILO_IO, What::Direction(at), subject.bytes[at]);
            }
        }
        if subject.frames > 0 {
            self.count(&calls::HAILO_FRAMES, What::Device, subject.frames);
        }
        if subject.switches > 0 {
            self.count(&calls::HAILO_SWITCHES, What::Device, subject.switches);
        }
    }

    fn duration(&mut self, what: What, durations: &Distribution) {
        if let Some(shown) = durations.shown() {
            self.push(
                &calls::DURATION,
                what,
                Value::Histogram(shown.clone()),
                Some(self.since),
            );
        }
    }

    fn count(&mut self, instrument: &'static Instrument, what: What, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.push(instrument, what, Value::Int(count), Some(self.since));
    }

    fn gauge(&mut self, instrument: &'static Instrument, value: Value) {
        self.push(instrument, What::Device, value, None);
    }

    fn push(&mut self, instrument: &'static Instrument, what: What, value: Value, start: Option<Timestamp>) {
        let attributes: Option<Arc<Attributes>> = self.labels.get(self.places, self.key.label, what);
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
