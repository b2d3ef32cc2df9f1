//! The newest state of every series, within the cardinality limits.

use std::collections::HashMap;
use std::sync::Arc;

use super::overflow::Overflow;
use accelscope_core::metric::{Attributes, Instrument, Part, Point, Series, Timestamp, catalogue};
use accelscope_core::telemetry;

/// How many series there may be (`[limits]`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one instrument, its overflow series not counted.
    pub series_per_instrument: usize,
    /// Of all instruments together.
    pub series: usize,
}

type Key = (&'static Instrument, Arc<Attributes>);

/// The newest state of every series.
///
/// A batch says all that is true in its part: its series that a newer batch no longer has are ended, and are shown once
/// more, without a value.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    live: HashMap<Key, Entry>,
    per_instrument: HashMap<&'static str, usize>,
    overflow: Overflow,
    /// Counts the batches; what an entry saw last, and what was collected last, are compared with it.
    now: u64,
    collected: u64,
    pending: Option<Vec<Series>>,
    forgotten: opentelemetry::metrics::Counter<u64>,
}

#[derive(Debug)]
struct Entry {
    series: Series,
    part: Part,
    seen: u64,
}

impl Store {
    /// An empty one. With `collecting`, series that end are kept until [`collect`](Self::collect) takes them.
    pub fn new(limits: Limits, collecting: bool) -> Self {
        Self {
            limits,
            live: HashMap::new(),
            per_instrument: HashMap::new(),
            overflow: Overflow::new(limits.series),
            now: 0,
            collected: 0,
            pending: collecting.then(Vec::new),
            forgotten: telemetry::counter(&catalogue::agent::SERIES_FORGOTTEN),
        }
    }

    /// Takes a part's newest points. `observe` sees every series that changed or ended, in that order.
    pub fn apply(&mut self, part: &Part, points: Vec<Point>, time: Timestamp, observe: &mut dyn FnMut(&Series)) {
        self.now += 1;
        let unknown = self.update_known(part, points, observe);
        self.end_unseen(part, time, observe);
        for point in unknown {
            self.insert(part, point, observe);
        }
        for point in self.overflow.take() {
            self.put(part, point, observe);
        }
        self.end_unseen_overflow(part, time, observe);
    }

    /// Ends all series of the parts that `gone` names.
    pub fn end(&mut self, gone: impl Fn(&Part) -> bool, time: Timestamp, observe: &mut dyn FnMut(&Series)) {
        self.retain(|entry| !gone(&entry.part), time, observe);
    }

    /// The live series, in no order.
    pub fn live(&self) -> impl Iterator<Item = &Series> {
        self.live.values().map(|entry| &entry.series)
    }

    /// How many series are live.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether no series is live.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// What changed since the last call: each changed series with its newest value, and before them what ended, first
    /// with a value that was never collected, then without one. A series that lived only between two calls is not lost.
    pub fn collect(&mut self) -> Vec<Series> {
        let mut changed = self.pending.as_mut().map(std::mem::take).unwrap_or_default();
        changed.extend(
            self.live
                .values()
                .filter(|entry| entry.seen > self.collected)
                .map(|entry| entry.series.clone()),
        );
        self.collected = self.now;
        changed
    }

    fn update_known(&mut self, part: &Part, points: Vec<Point>, observe: &mut dyn FnMut(&Series)) -> Vec<Point> {
        let mut unknown = Vec::new();
        for point in points {
            let key = (point.instrument, point.attributes.clone());
            let Some(entry) = self.live.get_mut(&key) else {
                unknown.push(point);
                continue;
            };
            entry.seen = self.now;
            if entry.part != *part {
                entry.part = part.clone();
            }
            entry.series.value = Some(point.value);
            entry.series.time = point.time;
            entry.series.start = point.start;
            observe(&entry.series);
        }
        unknown
    }

    fn end_unseen(&mut self, part: &Part, time: Timestamp, observe: &mut dyn FnMut(&Series)) {
        let (now, overflow) = (self.now, self.overflow.attributes());
        let of_overflow = |entry: &Entry| Arc::ptr_eq(&entry.series.attributes, &overflow);
        self.retain(
            |entry| entry.seen == now || entry.part != *part || of_overflow(entry),
            time,
            observe,
        );
    }

    fn end_unseen_overflow(&mut self, part: &Part, time: Timestamp, observe: &mut dyn FnMut(&Series)) {
        let (now, overflow) = (self.now, self.overflow.attributes());
        if self
            .live
            .values()
            .any(|entry| Arc::ptr_eq(&entry.series.attributes, &overflow))
        {
            let of_overflow = |entry: &Entry| Arc::ptr_eq(&entry.series.attributes, &overflow);
            self.retain(
                |entry| entry.seen == now || entry.part != *part || !of_overflow(entry),
                time,
                observe,
            );
        }
    }

    fn retain(&mut self, keep: impl Fn(&Entry) -> bool, time: Timestamp, observe: &mut dyn FnMut(&Series)) {
        let (collected, limit) = (self.collected, self.limits.series.saturating_mul(2));
        let overflow = self.overflow.attributes();
        let (per_instrument, pending, forgotten) = (&mut self.per_instrument, &mut self.pending, &self.forgotten);
        self.live.retain(|_, entry| {
            if keep(entry) {
                return true;
            }
            if !Arc::ptr_eq(&entry.series.attributes, &overflow)
                && let Some(count) = per_instrument.get_mut(entry.series.instrument.name)
            {
                *count -= 1;
            }
            let ended = Series {
                value: None,
                time: time.max(entry.series.time),
                ..entry.series.clone()
            };
            observe(&ended);
            match pending {
                Some(pending) if pending.len() + 2 <= limit => {
                    if entry.seen > collected {
                        pending.push(entry.series.clone());
                    }
                    pending.push(ended);
                }
                Some(_) => forgotten.add(1, &[]),
                None => {}
            }
            false
        });
    }

    fn insert(&mut self, part: &Part, point: Point, observe: &mut dyn FnMut(&Series)) {
        let of_instrument = self
            .per_instrument
            .get(point.instrument.name)
            .copied()
            .unwrap_or_default();
        let full = of_instrument >= self.limits.series_per_instrument || self.live.len() >= self.limits.series;
        if full || self.overflow.holds(part, &point) {
            self.overflow.add(part, point);
        } else {
            self.put(part, point, observe);
        }
    }

    fn put(&mut self, part: &Part, point: Point, observe: &mut dyn FnMut(&Series)) {
        let series = Series {
            instrument: point.instrument,
            attributes: point.attributes.clone(),
            value: Some(point.value),
            time: point.time,
            start: point.start,
        };
        observe(&series);
        let entry = Entry {
            series,
            part: part.clone(),
            seen: self.now,
        };
        let counts = !Arc::ptr_eq(&point.attributes, &self.overflow.attributes());
        if self.live.insert((point.instrument, point.attributes), entry).is_none() && counts {
            *self.per_instrument.entry(point.instrument.name).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accelscope_core::metric::catalogue::hailo::{NETWORK_FRAME_RATE, NETWORK_FRAMES};
    use accelscope_core::metric::{Value, key};

    const LIMITS: Limits = Limits {
        series_per_instrument: 2,
        series: 100,
    };

    fn point(instrument: &'static Instrument, network: &str, value: impl Into<Value>, time: u64) -> Point {
        Point {
            instrument,
            attributes: Arc::new(Attributes::new([(key::HAILO_NETWORK_NAME, network.into())])),
            owner: None,
            value: value.into(),
            time: Timestamp::from_unix_nanos(time),
            start: None,
        }
    }

    fn shown(series: &Series) -> (String, Option<f64>, u64) {
        let name = series.attributes.iter().map(|(_, v)| v.to_string()).collect::<String>();
        (
            name,
            series.value.as_ref().and_then(Value::as_f64),
            series.time.unix_nanos(),
        )
    }

    fn apply(store: &mut Store, part: &str, points: Vec<Point>, time: u64) -> Vec<(String, Option<f64>, u64)> {
        let mut seen = Vec::new();
        let part = Part {
            sampler: "test",
            name: part.into(),
        };
        store.apply(&part, points, Timestamp::from_unix_nanos(time), &mut |series| {
            seen.push(shown(series));
        });
        seen
    }

    fn collect(store: &mut Store) -> Vec<(String, Option<f64>, u64)> {
        store.collect().iter().map(shown).collect()
    }

    #[test]
    fn a_series_that_its_part_no_longer_has_ends_once() {
        let mut store = Store::new(LIMITS, true);
        apply(&mut store, "a", vec![point(&NETWORK_FRAME_RATE, "x", 1.0, 1)], 1);
        apply(&mut store, "b", vec![point(&NETWORK_FRAME_RATE, "y", 2.0, 1)], 1);
        assert_eq!(collect(&mut store).len(), 2);
        assert_eq!(apply(&mut store, "a", vec![], 5), [("x".to_owned(), None, 5)]);
        assert_eq!(collect(&mut store), [("x".to_owned(), None, 5)]);
        assert_eq!(apply(&mut store, "a", vec![], 6), []);
        assert_eq!(collect(&mut store), []);
        assert_eq!(
            store.live().map(shown).collect::<Vec<_>>(),
            [("y".to_owned(), Some(2.0), 1)]
        );
    }

    #[test]
    fn a_series_that_lived_between_two_collections_is_collected_with_its_value_and_its_end() {
        let mut store = Store::new(LIMITS, true);
        apply(&mut store, "a", vec![point(&NETWORK_FRAMES, "x", 7, 1)], 1);
        apply(&mut store, "a", vec![], 2);
        assert_eq!(
            collect(&mut store),
            [("x".to_owned(), Some(7.0), 1), ("x".to_owned(), None, 2)]
        );
    }

    #[test]
    fn what_was_not_read_again_is_not_collected_again() {
        let mut store = Store::new(LIMITS, true);
        apply(&mut store, "a", vec![point(&NETWORK_FRAMES, "x", 7, 1)], 1);
        apply(&mut store, "b", vec![point(&NETWORK_FRAMES, "y", 8, 1)], 1);
        assert_eq!(collect(&mut store).len(), 2);
        apply(&mut store, "b", vec![point(&NETWORK_FRAMES, "y", 9, 2)], 2);
        assert_eq!(collect(&mut store), [("y".to_owned(), Some(9.0), 2)]);
    }

    #[test]
    fn beyond_the_limit_everything_is_still_counted_in_the_overflow_series() {
        let mut store = Store::new(LIMITS, true);
        let points = |values: [i64; 4]| {
            ["a", "b", "c", "d"]
                .iter()
                .zip(values)
                .map(|(name, value)| point(&NETWORK_FRAMES, name, value, 1))
                .collect::<Vec<_>>()
        };
        apply(&mut store, "p", points([10, 10, 10, 10]), 1);
        apply(&mut store, "p", points([11, 12, 13, 14]), 2);
        let mut all: Vec<_> = store.live().map(shown).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let values: Vec<_> = all
            .iter()
            .map(|(name, value, _)| (name.as_str(), value.unwrap()))
            .collect();
        assert_eq!(values, [("a", 11.0), ("b", 12.0), ("true", 27.0)]);
        assert!(
            store
                .live()
                .any(|s| s.attributes.get(key::OTEL_METRIC_OVERFLOW).is_some())
        );
    }

    #[test]
    fn counters_long_gone_make_room_in_the_overflow_series() {
        let mut store = Store::new(
            Limits {
                series_per_instrument: 0,
                series: 2,
            },
            false,
        );
        let mut sum_after = |part: &str, names: &[&str], minute: u64| {
            let time = minute * 60_000_000_000;
            let points = names.iter().map(|name| point(&NETWORK_FRAMES, name, 10, time));
            apply(&mut store, part, points.collect(), time);
            store.live().map(shown).next().unwrap().1
        };
        assert_eq!(sum_after("p", &["a", "b"], 1), Some(20.0));
        assert_eq!(sum_after("p", &["b", "c"], 2), Some(20.0), "no room for a third");
        assert_eq!(sum_after("p", &["b", "c"], 70), Some(30.0), "the first is long gone");
        assert_eq!(
            sum_after("p", &["b", "c"], 71),
            Some(30.0),
            "what stayed is not counted again"
        );
    }

    #[test]
    fn the_overflow_series_takes_no_other_ones_room() {
        let mut store = Store::new(LIMITS, false);
        let mut names_after = |names: &[&str]| {
            let points = names.iter().map(|name| point(&NETWORK_FRAME_RATE, name, 1.0, 1));
            apply(&mut store, "p", points.collect(), 1);
            let mut names: Vec<_> = store.live().map(|series| shown(series).0).collect();
            names.sort();
            names
        };
        assert_eq!(names_after(&["a", "b", "c"]), ["a", "b", "true"]);
        assert_eq!(names_after(&["a", "c"]), ["a", "c"], "there is room again");
        assert_eq!(names_after(&["a", "c", "d"]), ["a", "c", "true"]);
    }

    #[test]
    fn an_ended_series_makes_room() {
        let mut store = Store::new(LIMITS, false);
        let rates = |names: &[&str]| {
            names
                .iter()
                .map(|n| point(&NETWORK_FRAME_RATE, n, 1.0, 1))
                .collect::<Vec<_>>()
        };
        apply(&mut store, "p", rates(&["a", "b"]), 1);
        apply(&mut store, "p", rates(&["c", "d"]), 2);
        let mut names: Vec<_> = store.live().map(|s| shown(s).0).collect();
        names.sort();
        assert_eq!(names, ["c", "d"]);
    }
}
