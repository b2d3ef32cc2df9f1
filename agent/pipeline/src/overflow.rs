//! Series that take the points for which the limits leave no room.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::Counter;

use super::arithmetic::merge;
use super::cumulative::{CumulativeToDelta, DeltaToCumulative, RETENTION};
use accelscope_core::metric::{Attributes, Instrument, Kind, Part, Point, Timestamp, catalogue, key};
use accelscope_core::telemetry;

/// Shortest time between two searches for counters that have ended.
const EVICTION_INTERVAL: Duration = Duration::from_mins(1);

/// One series an instrument for all points that have no room: gauges combined by their merge rule, counters by growth.
///
/// Histograms are only counted.
#[derive(Debug)]
pub(super) struct Overflow {
    /// Of every overflow series.
    attributes: Arc<Attributes>,
    most: usize,
    /// Counters that have no series of their own, by a hash of their identity.
    counters: HashMap<u64, CumulativeToDelta>,
    evicted: Option<Timestamp>,
    totals: HashMap<&'static str, DeltaToCumulative>,
    current: HashMap<&'static str, Point>,
}

impl Overflow {
    /// Keeps the state of at most `most` counters; the growth of more is lost, but counted.
    pub(super) fn new(most: usize) -> Self {
        let attributes = Arc::new(Attributes::new([(key::OTEL_METRIC_OVERFLOW, true.into())]));
        Self {
            attributes,
            most,
            counters: HashMap::new(),
            evicted: None,
            totals: HashMap::new(),
            current: HashMap::new(),
        }
    }

    /// Whether this counter's past is already in the overflow series, so that it must stay there: with a series of its
    /// own it would be counted twice.
    pub(super) fn holds(&self, part: &Part, point: &Point) -> bool {
        !self.counters.is_empty() && self.counters.contains_key(&identity(part, point))
    }

    pub(super) fn add(&mut self, part: &Part, point: Point) {
        count(point.instrument);
        match point.instrument.kind {
            Kind::Counter => self.grow(part, point),
            Kind::Gauge | Kind::UpDownCounter => self.combine(point),
            Kind::Histogram(_) => {}
        }
    }

    /// The overflow points of the batch that was just applied.
    pub(super) fn take(&mut self) -> Vec<Point> {
        self.current.drain().map(|(_, point)| point).collect()
    }

    fn grow(&mut self, part: &Part, mut point: Point) {
        let identity = identity(part, &point);
        if !self.counters.contains_key(&identity) && !self.has_room(point.time) {
            return;
        }
        let delta = self.counters.entry(identity).or_default().next(&point);
        let total = self.totals.entry(point.instrument.name).or_default();
        total.add(delta, &mut point);
        self.put(point);
    }

    /// Whether one more counter can be kept, if need be in place of those that were read longest ago.
    fn has_room(&mut self, now: Timestamp) -> bool {
        let due = |evicted| now.since(evicted) >= EVICTION_INTERVAL;
        if self.counters.len() >= self.most && self.evicted.is_none_or(due) {
            self.evicted = Some(now);
            let recent = |time| now.since(time) < RETENTION;
            self.counters
                .retain(|_, counter| counter.last_read().is_some_and(recent));
        }
        self.counters.len() < self.most
    }

    fn combine(&mut self, mut point: Point) {
        if let Some(before) = self.current.get(point.instrument.name) {
            point.value = merge(point.instrument.merge, &before.value, &point.value);
        }
        self.put(point);
    }

    fn put(&mut self, point: Point) {
        let attributes = self.attributes.clone();
        let point = Point {
            attributes,
            owner: None,
            ..point
        };
        self.current.insert(point.instrument.name, point);
    }
}

fn identity(part: &Part, point: &Point) -> u64 {
    let mut hasher = DefaultHasher::new();
    (part, point.instrument, &point.attributes).hash(&mut hasher);
    hasher.finish()
}

fn count(instrument: &'static Instrument) {
    static COUNTER: OnceLock<Counter<u64>> = OnceLock::new();
    let counter = COUNTER.get_or_init(|| telemetry::counter(&catalogue::agent::SERIES_OVERFLOW));
    counter.add(1, &[telemetry::label(key::AGENT_INSTRUMENT, instrument.name)]);
}
