//! The newest state of every series, within the cardinality limits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::ends::Ends;
use super::overflow::Overflow;
use super::owner::Owner;
use super::share::{self, Newcomer, Shares};
use super::sizes;
use accelscope_core::budget::{Account, Budget, Purpose};
use accelscope_core::metric::{
    Batch, Collected, Kind, Part, Point, Series, SeriesKey, Timestamp, Value, catalogue, key,
};
use accelscope_core::{LogLimiter, telemetry};

/// The wall clock was set if it shows a time that is so much earlier than before.
const SET_BACK: Duration = Duration::from_secs(1);

/// Least time between the birth of a counter and its first count: the resolution of time of Prometheus, twice.
const BIRTH: Duration = Duration::from_millis(2);

/// Entries below which the table of series is not made smaller.
const SPARSE: usize = 256;

/// Memory is short when less than so many bytes are left for series: one more may take as much.
const MEMORY_MARGIN: u64 = 16 << 10;

/// Time between two warnings that a metric has too many series.
const REMINDER: Duration = Duration::from_hours(1);

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
/// without a value. Time does not go back within a series, its end included.
pub struct Store {
    limits: Limits,
    live: HashMap<SeriesKey, Entry>,
    all: Shares,
    instruments: HashMap<&'static str, Shares>,
    overflow: Overflow,
    ends: Ends,
    /// What the live series take, in bytes by [`sizes::of_series`].
    bytes: u64,
    account: Account,
    /// Number of the newest run.
    now: u64,
    /// Number of the newest run that was collected.
    collected: u64,
    /// When that was.
    collected_at: Option<Timestamp>,
    /// How many series there have been.
    admitted: u64,
    /// The newest time by the wall clock, and how often that was set back.
    clock: Timestamp,
    set_back: u32,
    warnings: LogLimiter,
    observer: Option<Observer>,
    forgotten: opentelemetry::metrics::Counter<u64>,
    skipped: opentelemetry::metrics::Counter<u64>,
}

#[derive(Debug)]
struct Entry {
    series: Series,
    part: Part,
    /// Owner of its room; none of an overflow series.
    owner: Option<Owner>,
    /// By [`sizes::of_series`].
    bytes: u32,
    /// Number of the run that it was last in.
    seen: u64,
    /// Number of the run that changed it last.
    changed: u64,
    /// Its number among all series there have been.
    number: u64,
    /// How often the clock had been set back when it was read.
    set_back: u32,
    was_collected: bool,
    /// The start as it was read.
    start: Option<Timestamp>,
}

impl Entry {
    /// The zero from which a counter of the agent's own events has grown: without it the first event, often the only one,
    /// would be no increase to a receiver. When nothing was counted yet, at the last collection or the start of the count.
    fn birth(&self, collected_at: Option<Timestamp>) -> Option<Series> {
        let start = self.series.start?;
        let time = collected_at.map_or(start, |last| last.max(start));
        let value = match self.series.value {
            Some(Value::Int(count)) if count > 0 => Value::Int(0),
            Some(Value::Double(sum)) if sum > 0.0 => Value::Double(0.0),
            _ => return None,
        };
        let is_own = self.owner == Some(Owner::Agent) && self.series.instrument.kind == Kind::Counter;
        (is_own && self.series.time.since(time) >= BIRTH).then(|| Series {
            value: Some(value),
            time,
            ..self.series.clone()
        })
    }
}

/// Start of a count. A clock that was set back gives times before it: the count began no later than it is read, nor than
/// it was said to before (`earliest`), so that it does not seem to begin anew with each reading.
fn start(point: &Point, earliest: Option<Timestamp>) -> Option<Timestamp> {
    let start = point.start?.min(point.time);
    Some(earliest.map_or(start, |earliest| earliest.min(start)))
}

impl Store {
    /// Without series, within a budget of the default size. With `collecting`, series that end are kept until
    /// [`collect`](Self::collect) takes them.
    pub fn new(limits: Limits, collecting: bool, observer: Option<Observer>) -> Self {
        Self::within(&Budget::default(), limits, collecting, observer)
    }

    /// As [`new`](Self::new), within this budget.
    pub fn within(budget: &Budget, limits: Limits, collecting: bool, observer: Option<Observer>) -> Self {
        let forgotten = telemetry::counter(&catalogue::agent::SERIES_FORGOTTEN);
        // A counter starts at a visible 0: otherwise the first loss is no increase to an alert.
        forgotten.add(0, &[]);
        Self {
            limits,
            live: HashMap::new(),
            all: Shares::default(),
            instruments: HashMap::new(),
            overflow: Overflow::new(limits.series),
            ends: Ends::new(collecting, limits.series.saturating_mul(2), budget),
            bytes: 0,
            account: budget.account(Purpose::Series),
            now: 0,
            collected: 0,
            collected_at: None,
            admitted: 0,
            clock: Timestamp::from_unix_nanos(0),
            set_back: 0,
            warnings: LogLimiter::new(REMINDER),
            observer,
            forgotten,
            skipped: telemetry::counter(&catalogue::agent::SAMPLER_SKIPPED),
        }
    }

    /// Takes the newest points of parts that were read together, and ends all series of the other parts for which `gone` is
    /// true. A series that moves from one of them to another does not end. The observer sees every series that changed or
    /// ended, in that order, and last those that are new.
    pub fn apply(&mut self, batches: Vec<Batch>, gone: impl Fn(&Part) -> bool, time: Timestamp) {
        self.now += 1;
        self.watch_clock(time);
        self.ends.prune(time);
        let parts: HashSet<Part> = batches.iter().map(|batch| batch.part.clone()).collect();
        let ends = |part: &Part| parts.contains(part) || gone(part);
        self.overflow.end(ends);
        let mut unknown = Vec::new();
        for batch in batches {
            self.update_live(&batch.part, batch.points, &mut unknown);
        }
        let now = self.now;
        self.retain(
            |entry| entry.seen == now || entry.owner.is_none() || !ends(&entry.part),
            time,
        );
        self.insert(unknown, time);
        self.update_overflow(time);
        self.account.set(self.bytes);
        if self.live.capacity() > 4 * self.live.len().max(SPARSE) {
            self.live.shrink_to(2 * self.live.len());
        }
    }

    /// How many ends of series are kept, those to be collected and those that are remembered.
    #[cfg(test)]
    pub(crate) fn kept_ends(&self) -> (usize, usize) {
        self.ends.kept()
    }

    /// Counters that the overflow series remember, and owners that had to give up series.
    #[cfg(test)]
    pub(crate) fn kept_of_overflow(&self) -> (usize, usize) {
        let cut = self.instruments.values().chain([&self.all]).map(Shares::kept);
        (self.overflow.kept(), cut.sum())
    }

    /// Ends all series of the parts for which `gone` is true.
    pub fn end(&mut self, gone: impl Fn(&Part) -> bool, time: Timestamp) {
        self.apply(Vec::new(), gone, time);
    }

    /// The live series, in no order.
    pub fn live(&self) -> impl ExactSizeIterator<Item = &Series> {
        self.live.values().map(|entry| &entry.series)
    }

    /// What changed since the last call: each changed series with its newest value, and before them what ended, first
    /// with a value that was never collected, then without one. A series that lived only between two calls is not lost.
    pub fn collect(&mut self) -> Vec<Collected> {
        let mut changed = self.ends.take();
        for entry in self.live.values_mut().filter(|entry| entry.changed > self.collected) {
            let workload = entry.owner.as_ref().and_then(Owner::workload).cloned();
            let mut push = |series| {
                let workload = workload.clone();
                changed.push(Collected { series, workload });
            };
            if !std::mem::replace(&mut entry.was_collected, true)
                && let Some(birth) = entry.birth(self.collected_at)
            {
                push(birth);
            }
            push(entry.series.clone());
        }
        self.collected = self.now;
        self.collected_at = Some(self.clock);
        changed
    }

    /// After the wall clock was set back every reading is older than those before. That must not silence the series.
    fn watch_clock(&mut self, time: Timestamp) {
        if self.clock.since(time) > SET_BACK {
            self.set_back += 1;
            self.ends.forget_times();
            for entry in self.live.values_mut() {
                entry.series.time = entry.series.time.min(time);
                entry.series.start = entry.series.start.map(|start| start.min(time));
            }
        }
        self.clock = time;
    }

    /// Updates live series, and adds the points of all others to `unknown`.
    fn update_live(&mut self, part: &Part, points: Vec<Point>, unknown: &mut Vec<(Part, Point)>) {
        for mut point in points {
            let key = (point.instrument, point.attributes.clone());
            let Some(entry) = self.live.get_mut(&key) else {
                unknown.push((part.clone(), point));
                continue;
            };
            entry.seen = self.now;
            if entry.part != *part {
                entry.part = part.clone();
            }
            if point.time < entry.series.time && entry.set_back == self.set_back {
                skip(&self.skipped, part);
                continue;
            }
            self.overflow.rebase(&mut point);
            entry.set_back = self.set_back;
            entry.changed = self.now;
            let earliest = entry.series.start.filter(|_| entry.start == point.start);
            entry.series.start = start(&point, earliest);
            entry.start = point.start;
            entry.series.value = Some(point.value);
            entry.series.time = point.time;
            notify(&mut self.observer, &entry.series);
        }
    }

    fn retain(&mut self, keep: impl Fn(&Entry) -> bool, time: Timestamp) {
        let gone: Vec<Entry> = self
            .live
            .extract_if(|_, entry| !keep(entry))
            .map(|(_, entry)| entry)
            .collect();
        for entry in gone {
            self.finish(&entry, time);
        }
    }

    /// Ends a series that is no longer among the live ones.
    fn finish(&mut self, entry: &Entry, time: Timestamp) {
        self.give_back(entry);
        let owner = entry.owner.as_ref().unwrap_or(&Owner::Agent);
        let is_uncollected = entry.changed > self.collected;
        let (ended, forgotten) = self.ends.add(&entry.series, owner, is_uncollected, time);
        notify(&mut self.observer, &ended);
        if forgotten > 0 {
            self.forgotten.add(forgotten, &[]);
        }
    }

    fn give_back(&mut self, entry: &Entry) {
        self.bytes -= u64::from(entry.bytes);
        if let Some(owner) = &entry.owner {
            self.all.remove(owner);
            if let Some(shares) = self.instruments.get_mut(entry.series.instrument.name) {
                shares.remove(owner);
            }
        }
    }

    /// Makes series of these points, as many as each owner may have; the others go into overflow series.
    fn insert(&mut self, unknown: Vec<(Part, Point)>, time: Timestamp) {
        let mut newcomers = Vec::with_capacity(unknown.len());
        for (part, point) in unknown {
            let key = (point.instrument, point.attributes.clone());
            let (is_held, is_late) = (self.overflow.holds(&point), self.ends.refuses(&key, &point));
            if is_held && (is_late || !self.overflow.can_return(time)) {
                self.overflow.add(&part, point);
            } else if is_late {
                skip(&self.skipped, &part);
            } else {
                newcomers.push(Newcomer::new(part, point));
            }
        }
        let (admitted, refused) = self.admit(newcomers, time);
        for Newcomer { part, mut point, owner } in admitted {
            self.overflow.rebase(&mut point);
            self.put(part, point, Some(owner));
        }
        for Newcomer { part, point, .. } in refused {
            let instrument = point.instrument.name;
            if let Some(shares) = self.instruments.get(instrument)
                && self.warnings.admit(instrument).is_some()
            {
                let is_memory_short = self.bytes + MEMORY_MARGIN >= self.account.room();
                share::warn(instrument, shares, &self.all, self.limits, is_memory_short);
            }
            self.overflow.add(&part, point);
        }
    }

    /// Divides newcomers into those that get a series and those that do not, after their owners have given up what they
    /// have beyond their fair share.
    fn admit(&mut self, newcomers: Vec<Newcomer>, time: Timestamp) -> (Vec<Newcomer>, Vec<Newcomer>) {
        let mut by_instrument: BTreeMap<&'static str, Vec<Newcomer>> = BTreeMap::new();
        for newcomer in newcomers {
            let instrument = newcomer.point.instrument.name;
            by_instrument.entry(instrument).or_default().push(newcomer);
        }
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        for (instrument, newcomers) in by_instrument {
            let shares = self.instruments.entry(instrument).or_default();
            let division = shares.divide(newcomers, self.limits.series_per_instrument, time);
            admitted.extend(division.admitted);
            refused.extend(division.refused);
            self.give_up(Some(instrument), division.surplus, time);
        }
        let capacity = self.capacity(&admitted);
        let division = self.all.divide(admitted, capacity, time);
        refused.extend(division.refused);
        self.give_up(None, division.surplus, time);
        (division.admitted, refused)
    }

    /// How many series there may be with these newcomers: as many as `limits.series` says, and fewer where memory is short,
    /// by what they take on average. Live series stay in any case as long as nobody else needs their room.
    fn capacity(&self, newcomers: &[Newcomer]) -> usize {
        let sizes = newcomers
            .iter()
            .map(|newcomer| sizes::of_series(newcomer.point.instrument, &newcomer.point.attributes) as u64);
        let bytes = self.bytes + sizes.sum::<u64>();
        let room = self.account.room();
        if bytes <= room {
            return self.limits.series;
        }
        let average = bytes / (self.live.len() + newcomers.len()).max(1) as u64;
        let fitting = usize::try_from(room / average.max(1)).unwrap_or(usize::MAX);
        fitting.min(self.limits.series)
    }

    /// Ends so many series of these owners, of one instrument or of all, the newest first. What they counted goes into the
    /// overflow series.
    fn give_up(&mut self, instrument: Option<&'static str>, mut surplus: HashMap<Owner, usize>, time: Timestamp) {
        if surplus.is_empty() {
            return;
        }
        let of_instrument = |key: &SeriesKey| instrument.is_none_or(|name| name == key.0.name);
        let concerned = self.live.iter().filter(|(key, _)| of_instrument(key));
        let concerned = concerned.filter_map(|(key, entry)| {
            let owner = entry.owner.clone().filter(|owner| surplus.contains_key(owner))?;
            Some((entry.number, key.clone(), owner))
        });
        let mut concerned: Vec<_> = concerned.collect();
        concerned.sort_unstable_by_key(|(number, ..)| std::cmp::Reverse(*number));
        for (_, key, owner) in concerned {
            let Some(left) = surplus.get_mut(&owner).filter(|left| **left > 0) else {
                continue;
            };
            *left -= 1;
            let Some(entry) = self.live.remove(&key) else { continue };
            self.finish(&entry, time);
            let is_current = entry.seen == self.now || entry.series.instrument.kind.is_cumulative();
            if let Some(value) = entry.series.value.filter(|_| is_current) {
                let point = Point {
                    instrument: entry.series.instrument,
                    attributes: entry.series.attributes,
                    owner: None,
                    value,
                    time: entry.series.time,
                    start: entry.series.start,
                };
                self.overflow.take_over(&entry.part, point);
            }
        }
    }

    fn update_overflow(&mut self, time: Timestamp) {
        for (instrument, whole) in self.overflow.take() {
            let Some((part, mut point)) = whole else {
                self.retain(
                    |entry| entry.owner.is_some() || entry.series.instrument != instrument,
                    time,
                );
                continue;
            };
            let key = (instrument, point.attributes.clone());
            if let Some(before) = self.live.get(&key) {
                // Its parts are read at different times.
                point.time = point.time.max(before.series.time);
                point.start = point
                    .start
                    .zip(before.series.start)
                    .map(|(this, before)| this.min(before));
            } else if self.ends.refuses(&key, &point) {
                continue;
            }
            self.put(part, point, None);
        }
    }

    fn put(&mut self, part: Part, point: Point, owner: Option<Owner>) {
        let key = (point.instrument, point.attributes.clone());
        self.ends.resume(&key, &point);
        let owner = owner.map(|owner| self.all.add(owner));
        if let Some(owner) = &owner {
            let shares = self.instruments.entry(point.instrument.name).or_default();
            shares.add(owner.clone());
        }
        let series = Series {
            start: start(&point, None),
            instrument: point.instrument,
            attributes: point.attributes,
            value: Some(point.value),
            time: point.time,
        };
        notify(&mut self.observer, &series);
        self.admitted += 1;
        let bytes = sizes::of_series(series.instrument, &series.attributes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.bytes += u64::from(bytes);
        let entry = Entry {
            series,
            part,
            owner,
            bytes,
            seen: self.now,
            changed: self.now,
            number: self.admitted,
            set_back: self.set_back,
            was_collected: false,
            start: point.start,
        };
        // Two parts had it, or it is called as an overflow series.
        if let Some(replaced) = self.live.insert(key, entry) {
            self.give_back(&replaced);
        }
    }
}

/// A reading that is older than what is known of its series.
fn skip(skipped: &opentelemetry::metrics::Counter<u64>, part: &Part) {
    let labels = [
        telemetry::label(key::AGENT_SAMPLER, part.sampler),
        telemetry::label(key::AGENT_REASON, "late"),
    ];
    skipped.add(1, &labels);
}

fn notify(observer: &mut Option<Observer>, series: &Series) {
    if let Some(observer) = observer {
        observer(series);
    }
}

#[cfg(test)]
#[path = "store_tests/mod.rs"]
mod tests;
