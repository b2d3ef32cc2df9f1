//! The newest state of every series, within the cardinality limits.

use std::collections::HashMap;

use super::overflow::Overflow;
use accelscope_core::metric::{Part, Point, Series, SeriesKey, Timestamp, catalogue};
use accelscope_core::telemetry;

/// How many series there may be (`[limits]`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of one instrument, its overflow series not counted.
    pub series_per_instrument: usize,
    /// Of all instruments together.
    pub series: usize,
}

/// Called with each series that changed or ended, when it does.
pub type Observer = Box<dyn FnMut(&Series) + Send>;

/// The newest state of every series.
///
/// A batch holds all series of its part: those that a newer batch no longer has are ended, and are shown once more,
/// without a value.
pub struct Store {
    limits: Limits,
    live: HashMap<SeriesKey, Entry>,
    per_instrument: HashMap<&'static str, usize>,
    overflow: Overflow,
    /// Number of live overflow series.
    overflows: usize,
    /// Number of the newest batch.
    now: u64,
    /// Number of the newest batch that was collected.
    collected: u64,
    pending: Option<Vec<Series>>,
    observer: Option<Observer>,
    forgotten: opentelemetry::metrics::Counter<u64>,
}

#[derive(Debug)]
struct Entry {
    series: Series,
    part: Part,
    /// Number of the batch that it was last in.
    seen: u64,
    is_overflow: bool,
}

impl Store {
    /// Without series. With `collecting`, series that end are kept until [`collect`](Self::collect) takes them.
    pub fn new(limits: Limits, collecting: bool, observer: Option<Observer>) -> Self {
        Self {
            limits,
            live: HashMap::new(),
            per_instrument: HashMap::new(),
            overflow: Overflow::new(limits.series),
            overflows: 0,
            now: 0,
            collected: 0,
            pending: collecting.then(Vec::new),
            observer,
            forgotten: telemetry::counter(&catalogue::agent::SERIES_FORGOTTEN),
        }
    }

    /// Takes a part's newest points. The observer sees every series that changed or ended, in that order.
    pub fn apply(&mut self, part: &Part, points: Vec<Point>, time: Timestamp) {
        self.now += 1;
        let unknown = self.update_live(part, points);
        self.end_unseen(part, false, time);
        for point in unknown {
            self.insert(part, point);
        }
        for point in self.overflow.take() {
            self.put(part, point, true);
        }
        if self.overflows > 0 {
            self.end_unseen(part, true, time);
        }
    }

    /// Ends all series of the parts for which `gone` is true.
    pub fn end(&mut self, gone: impl Fn(&Part) -> bool, time: Timestamp) {
        self.retain(|entry| !gone(&entry.part), time);
    }

    /// The live series, in no order.
    pub fn live(&self) -> impl ExactSizeIterator<Item = &Series> {
        self.live.values().map(|entry| &entry.series)
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

    /// Updates live series, and returns the points of all others.
    fn update_live(&mut self, part: &Part, points: Vec<Point>) -> Vec<Point> {
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
            notify(&mut self.observer, &entry.series);
        }
        unknown
    }

    /// Ends the part's series that its newest batch lacks: the overflow series or all others.
    fn end_unseen(&mut self, part: &Part, is_overflow: bool, time: Timestamp) {
        let now = self.now;
        self.retain(
            |entry| entry.seen == now || entry.part != *part || entry.is_overflow != is_overflow,
            time,
        );
    }

    fn retain(&mut self, keep: impl Fn(&Entry) -> bool, time: Timestamp) {
        let limit = self.limits.series.saturating_mul(2);
        self.live.retain(|_, entry| {
            if keep(entry) {
                return true;
            }
            if entry.is_overflow {
                self.overflows -= 1;
            } else if let Some(count) = self.per_instrument.get_mut(entry.series.instrument.name) {
                *count -= 1;
            }
            let ended = Series {
                value: None,
                time: time.max(entry.series.time),
                ..entry.series.clone()
            };
            notify(&mut self.observer, &ended);
            match &mut self.pending {
                Some(pending) if pending.len() + 2 <= limit => {
                    if entry.seen > self.collected {
                        pending.push(entry.series.clone());
                    }
                    pending.push(ended);
                }
                Some(_) => self.forgotten.add(1, &[]),
                None => {}
            }
            false
        });
    }

    fn insert(&mut self, part: &Part, point: Point) {
        let of_instrument = self
            .per_instrument
            .get(point.instrument.name)
            .copied()
            .unwrap_or_default();
        let full = of_instrument >= self.limits.series_per_instrument || self.live.len() >= self.limits.series;
        if full || self.overflow.holds(part, &point) {
            self.overflow.add(part, point);
        } else {
            self.put(part, point, false);
        }
    }

    fn put(&mut self, part: &Part, point: Point, is_overflow: bool) {
        let series = Series {
            instrument: point.instrument,
            attributes: point.attributes.clone(),
            value: Some(point.value),
            time: point.time,
            start: point.start,
        };
        notify(&mut self.observer, &series);
        let entry = Entry {
            series,
            part: part.clone(),
            seen: self.now,
            is_overflow,
        };
        let name = point.instrument.name;
        let replaced = self.live.insert((point.instrument, point.attributes), entry);
        if let Some(replaced) = replaced {
            *self.count(name, replaced.is_overflow) -= 1;
        }
        *self.count(name, is_overflow) += 1;
    }

    fn count(&mut self, instrument: &'static str, is_overflow: bool) -> &mut usize {
        if is_overflow {
            &mut self.overflows
        } else {
            self.per_instrument.entry(instrument).or_default()
        }
    }
}

fn notify(observer: &mut Option<Observer>, series: &Series) {
    if let Some(observer) = observer {
        observer(series);
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
