//! Series that take the points for which the limits leave no room.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::Counter;

use super::arithmetic::merge;
use super::cumulative::{CumulativeToDelta, Delta, DeltaToCumulative, RETENTION};
use accelscope_core::metric::{Attributes, Instrument, Part, Point, Timestamp, catalogue, key};
use accelscope_core::telemetry;

/// Shortest time between two searches for counters that have ended.
const EVICTION_INTERVAL: Duration = Duration::from_mins(1);

/// One series an instrument for all points that have no room: gauges combined by their merge rule, counters and histograms
/// by growth.
#[derive(Debug)]
pub(super) struct Overflow {
    /// Of every overflow series.
    attributes: Arc<Attributes>,
    most: usize,
    /// Counters and histograms that have no series of their own, by a hash of their identity.
    counters: HashMap<u64, CumulativeToDelta>,
    /// Those that got a series of their own again, likewise.
    returned: HashMap<u64, Returned>,
    evicted: Option<Timestamp>,
    totals: HashMap<&'static str, DeltaToCumulative>,
    current: HashMap<&'static Instrument, Current>,
}

/// A counter or histogram that has a series of its own again. What it counted before stays in the overflow series, so that
/// its own one begins with what it counts from there on.
#[derive(Debug)]
struct Returned {
    read: CumulativeToDelta,
    total: DeltaToCumulative,
}

/// An overflow series.
#[derive(Debug)]
struct Current {
    /// What the newest batch of each part has of it.
    parts: HashMap<Part, Point>,
    /// What came last: of counters the newest total.
    newest: Point,
    is_changed: bool,
}

impl Overflow {
    /// Keeps the state of at most `most` counters, and of as many that returned; the growth of more is lost, but counted.
    pub(super) fn new(most: usize) -> Self {
        let attributes = Arc::new(Attributes::new([(key::OTEL_METRIC_OVERFLOW, true.into())]));
        Self {
            attributes,
            most,
            counters: HashMap::new(),
            returned: HashMap::new(),
            evicted: None,
            totals: HashMap::new(),
            current: HashMap::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.counters.len() + self.returned.len()
    }

    /// Whether the growth of this counter goes into the overflow series.
    pub(super) fn holds(&self, point: &Point) -> bool {
        !self.counters.is_empty() && self.counters.contains_key(&identity(point))
    }

    /// Whether one more counter can get a series of its own again.
    pub(super) fn can_return(&mut self, now: Timestamp) -> bool {
        if self.returned.len() >= self.most {
            self.evict(now);
        }
        self.returned.len() < self.most
    }

    /// Takes from a reading for a series of its own what is in the overflow series: with it, it would be counted twice.
    pub(super) fn rebase(&mut self, point: &mut Point) {
        if self.counters.is_empty() && self.returned.is_empty() || !point.instrument.kind.is_cumulative() {
            return;
        }
        let identity = identity(point);
        if let Some(read) = self.counters.remove(&identity) {
            let total = DeltaToCumulative::default();
            self.returned.insert(identity, Returned { read, total });
        }
        match self.returned.get_mut(&identity) {
            // Nothing of a count that began anew is in the overflow series.
            Some(Returned { read, .. }) if read.is_restarted_by(point) => drop(self.returned.remove(&identity)),
            Some(Returned { read, total }) => {
                let delta = read.next(point);
                total.add(delta, point);
            }
            None => {}
        }
    }

    /// Takes over a series that is given up, with all that it shows.
    pub(super) fn take_over(&mut self, part: &Part, point: Point) {
        let identity = identity(&point);
        match self.returned.remove(&identity) {
            Some(Returned { read, .. }) => {
                count(point.instrument);
                let all = CumulativeToDelta::default().next(&point);
                self.counters.insert(identity, read);
                self.sum(part, point, all);
            }
            None => self.add(part, point),
        }
    }

    /// What these parts had of the overflow series has ended.
    pub(super) fn end(&mut self, gone: impl Fn(&Part) -> bool) {
        for current in self.current.values_mut() {
            let before = current.parts.len();
            current.parts.retain(|part, _| !gone(part));
            current.is_changed |= current.parts.len() != before;
        }
    }

    pub(super) fn add(&mut self, part: &Part, point: Point) {
        count(point.instrument);
        if point.instrument.kind.is_cumulative() {
            self.grow(part, point);
        } else {
            self.combine(part, point);
        }
    }

    /// The overflow series that changed since the last call; without a point those that have ended.
    pub(super) fn take(&mut self) -> Vec<(&'static Instrument, Option<(Part, Point)>)> {
        let mut changed = Vec::new();
        self.current.retain(|instrument, current| {
            if std::mem::take(&mut current.is_changed) {
                changed.push((*instrument, current.whole()));
            }
            !current.parts.is_empty()
        });
        changed
    }

    fn grow(&mut self, part: &Part, point: Point) {
        let identity = identity(&point);
        if let Some(Returned { read, .. }) = self.returned.remove(&identity) {
            self.counters.insert(identity, read);
        }
        if !self.counters.contains_key(&identity) && !self.has_room(point.time) {
            return;
        }
        let delta = self.counters.entry(identity).or_default().next(&point);
        self.sum(part, point, delta);
    }

    fn sum(&mut self, part: &Part, mut point: Point, delta: Delta) {
        let total = self.totals.entry(point.instrument.name).or_default();
        total.add(delta, &mut point);
        self.put(part, point);
    }

    /// Whether one more counter can be kept, if need be in place of those that were read longest ago.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.counters.len() >= self.most {
            self.evict(now);
        }
        self.counters.len() < self.most
    }

    /// Forgets the counters that were read long ago, if it is due.
    fn evict(&mut self, now: Timestamp) {
        if self.evicted.is_none_or(|last| now.since(last) >= EVICTION_INTERVAL) {
            self.evicted = Some(now);
            let is_recent = |counter: &CumulativeToDelta| {
                let last = counter.last_read();
                last.is_some_and(|time| now.since(time) < RETENTION)
            };
            self.counters.retain(|_, counter| is_recent(counter));
            self.returned.retain(|_, counter| is_recent(&counter.read));
        }
    }

    fn combine(&mut self, part: &Part, mut point: Point) {
        let current = self.current.get(point.instrument);
        if let Some(before) = current.and_then(|current| current.parts.get(part)) {
            point = merged(before, point);
        }
        self.put(part, point);
    }

    fn put(&mut self, part: &Part, point: Point) {
        let attributes = self.attributes.clone();
        let point = Point {
            attributes,
            owner: None,
            ..point
        };
        let current = self.current.entry(point.instrument).or_insert_with(|| Current {
            parts: HashMap::new(),
            newest: point.clone(),
            is_changed: true,
        });
        current.parts.insert(part.clone(), point.clone());
        current.newest = point;
        current.is_changed = true;
    }
}

impl Current {
    /// The series of all parts together; none where no part has anything of it.
    fn whole(&self) -> Option<(Part, Point)> {
        let (part, _) = self.parts.iter().next()?;
        let time = self.parts.values().map(|point| point.time).max()?;
        let all = self.parts.values().cloned();
        let whole = if self.newest.instrument.kind.is_cumulative() {
            self.newest.clone()
        } else {
            all.reduce(|before, point| merged(&before, point))?
        };
        Some((part.clone(), Point { time, ..whole }))
    }
}

/// Both points of one overflow series of a gauge.
fn merged(before: &Point, mut point: Point) -> Point {
    point.value = merge(point.instrument.merge, &before.value, &point.value);
    point.time = point.time.max(before.time);
    point
}

fn identity(point: &Point) -> u64 {
    let mut hasher = DefaultHasher::new();
    (point.instrument, &point.attributes).hash(&mut hasher);
    hasher.finish()
}

fn count(instrument: &'static Instrument) {
    static COUNTER: OnceLock<Counter<u64>> = OnceLock::new();
    let counter = COUNTER.get_or_init(|| telemetry::counter(&catalogue::agent::SERIES_OVERFLOW));
    counter.add(1, &[telemetry::label(key::AGENT_INSTRUMENT, instrument.name)]);
}
