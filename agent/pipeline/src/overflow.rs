//! Where points go whose series would exceed a limit.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry::metrics::Counter;

use accelscope_core::metric::{Attributes, Instrument, Kind, Merge, Part, Point, Timestamp, Value, catalogue, key};
use accelscope_core::telemetry;

/// How long a counter's total is remembered after its last point, once there is no more room for others'. Longer than any
/// sampler's period, so that one that only paused goes on from where it was.
const REMEMBERED: Duration = Duration::from_hours(1);
/// How often what is remembered is looked through for that, at most.
const LOOK: Duration = Duration::from_mins(1);

/// One series an instrument for all that has no room: gauges combined by their merge rule, counters by growth.
///
/// Histograms are only counted: they come from the agent itself, whose attributes are few.
#[derive(Debug)]
pub(super) struct Overflow {
    attributes: Arc<Attributes>,
    known: usize,
    /// Last totals of counters that have no series of their own, by a hash of their identity.
    last: HashMap<u64, (f64, Timestamp)>,
    looked: Option<Timestamp>,
    totals: HashMap<&'static str, (f64, Timestamp)>,
    current: HashMap<&'static str, Point>,
}

impl Overflow {
    /// Remembers the totals of at most `known` counters; the growth of more is lost, but counted.
    pub(super) fn new(known: usize) -> Self {
        let attributes = Arc::new(Attributes::new([(key::OTEL_METRIC_OVERFLOW, true.into())]));
        Self {
            attributes,
            known,
            last: HashMap::new(),
            looked: None,
            totals: HashMap::new(),
            current: HashMap::new(),
        }
    }

    /// The attributes of every overflow series, always the same allocation.
    pub(super) fn attributes(&self) -> Arc<Attributes> {
        self.attributes.clone()
    }

    /// Whether this counter's past is already in the overflow series, so that it must stay there: with a series of its
    /// own it would be counted twice.
    pub(super) fn holds(&self, part: &Part, point: &Point) -> bool {
        !self.last.is_empty() && self.last.contains_key(&identity(part, point))
    }

    pub(super) fn add(&mut self, part: &Part, point: Point) {
        count(point.instrument);
        match (point.instrument.kind, point.value.as_f64()) {
            (Kind::Counter, Some(total)) => self.grow(part, point, total),
            (Kind::Gauge | Kind::UpDownCounter, Some(value)) => self.combine(point, value),
            _ => {}
        }
    }

    /// The overflow points of the batch that was just applied.
    pub(super) fn take(&mut self) -> Vec<Point> {
        self.current.drain().map(|(_, point)| point).collect()
    }

    fn grow(&mut self, part: &Part, point: Point, total: f64) {
        let identity = identity(part, &point);
        if !self.last.contains_key(&identity) && !self.has_room(point.time) {
            return;
        }
        let before = self
            .last
            .insert(identity, (total, point.time))
            .map(|(before, _)| before)
            .filter(|before| *before <= total)
            .unwrap_or_default();
        let (sum, start) = self
            .totals
            .entry(point.instrument.name)
            .or_insert((0.0, point.start.unwrap_or(point.time)));
        *sum += total - before;
        let value = if matches!(point.value, Value::Int(_)) {
            Value::Int(*sum as i64)
        } else {
            Value::Double(*sum)
        };
        let start = Some(*start);
        self.keep(Point { value, start, ..point });
    }

    /// Whether one more total can be remembered, if need be in place of those that nobody has told for long.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.last.len() >= self.known && self.looked.is_none_or(|looked| now.since(looked) >= LOOK) {
            self.looked = Some(now);
            self.last.retain(|_, (_, told)| now.since(*told) < REMEMBERED);
        }
        self.last.len() < self.known
    }

    fn combine(&mut self, point: Point, value: f64) {
        let merged = match (
            self.current.get(point.instrument.name).and_then(|p| p.value.as_f64()),
            point.instrument.merge,
        ) {
            (None, _) => value,
            (Some(before), Merge::Sum) => before + value,
            (Some(before), Merge::Min) => before.min(value),
            (Some(before), Merge::Max) => before.max(value),
        };
        let value = if matches!(point.value, Value::Int(_)) {
            Value::Int(merged as i64)
        } else {
            Value::Double(merged)
        };
        self.keep(Point { value, ..point });
    }

    fn keep(&mut self, point: Point) {
        let name = point.instrument.name;
        self.current.insert(
            name,
            Point {
                attributes: self.attributes.clone(),
                owner: None,
                ..point
            },
        );
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
