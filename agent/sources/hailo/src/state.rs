//! State of one monitor file over its writes: values, age, counters.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::directory::Stamp;
use super::labels::Labels;
use super::owner::Owner;
use super::reading::Reading;
use super::trouble::Trouble;
use accelscope_core::metric::{Moment, ProcessKey, Timestamp};

/// Default age limit in write intervals, and its least.
const INTERVALS: u32 = 3;
const LEAST_MAX_AGE: Duration = Duration::from_secs(5);
/// The longest, however long the interval: the most that can be configured.
pub(super) const LONGEST_MAX_AGE: Duration = Duration::from_hours(24);

/// Modification times are those of the wall clock, which is set now and then (a Raspberry Pi has no battery for it).
/// Where it differs from the monotonic clock by more than this, the monotonic clock is used.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

/// Most networks with counters that are kept although the file no longer has them.
const MAX_ABSENT: usize = 64;

/// One monitor file.
#[derive(Debug, Default)]
pub(super) struct File {
    seen: Option<Seen>,
    /// The last version with values.
    valued: Option<Seen>,
    latest: Option<Latest>,
    /// The last write intervals, oldest first.
    intervals: VecDeque<Duration>,
    /// The process whose environment was looked at, and the interval that it gives.
    expected: Option<(ProcessKey, Option<Duration>)>,
    elements: usize,
    /// Why the last version has no values.
    pub(super) fault: Option<Trouble>,
    pub(super) totals: BTreeMap<String, Total>,
    /// The process that last contributed to the totals.
    counted_for: Option<ProcessKey>,
    pub(super) owner: Owner,
    pub(super) labels: Labels,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    stamp: Stamp,
    at: Instant,
}

/// The last write that had values.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) reading: Reading,
    pub(super) written: Timestamp,
    pub(super) read: Timestamp,
    age_when_read: Duration,
    read_at: Instant,
}

/// Frames of one network since its first observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Total {
    pub(super) frames: f64,
    pub(super) start: Timestamp,
    /// The part of it that a counter already includes.
    pub(super) exported: f64,
    /// The part of `exported` in another counter than that of the present owner: in that of files without a known process,
    /// or in that of a previous owner.
    pub(super) elsewhere: f64,
}

impl Total {
    pub(super) const fn from(start: Timestamp) -> Self {
        Self {
            frames: 0.0,
            start,
            exported: 0.0,
            elsewhere: 0.0,
        }
    }

    /// Takes the frames since the last call into another counter than that of the present owner.
    pub(super) const fn export_elsewhere(&mut self) -> f64 {
        let grown = self.frames - self.exported;
        self.exported = self.frames;
        self.elsewhere += grown;
        grown
    }
}

impl File {
    /// Whether this version has been processed.
    pub(super) fn has_seen(&self, stamp: Stamp) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.stamp == stamp)
    }

    /// Whether its writer is known to report the least and most frames of each interval.
    pub(super) fn has_extremes(&self) -> bool {
        self.latest.as_ref().is_some_and(|latest| latest.reading.has_extremes)
    }

    /// The last write that had values.
    pub(super) fn latest(&self) -> Option<&Latest> {
        self.latest.as_ref()
    }

    /// What its devices, networks and streams count as, and the networks whose counters are kept.
    pub(super) const fn elements(&self) -> usize {
        self.elements
    }

    /// Whether it has a network's counter.
    pub(super) fn counts(&self, network: &str) -> bool {
        self.totals.contains_key(network)
    }

    /// Records a new version. Without values (yet), the last ones stay until their age limit.
    pub(super) fn record(&mut self, stamp: Stamp, reading: Option<Reading>, now: Moment) {
        let seen = Seen { stamp, at: now.instant };
        let since = |before: &Seen| interval(before, stamp, now.instant);
        let interval = self.seen.replace(seen).as_ref().map(since);
        let Some(reading) = reading else { return };
        // Not since a version without values: the runtime up to 4.21 truncates the file a moment before each write.
        if let Some(usual) = self.valued.replace(seen).as_ref().map(since) {
            self.intervals.push_back(usual);
            if self.intervals.len() > INTERVALS as usize {
                self.intervals.pop_front();
            }
        }
        self.count(&reading, interval.unwrap_or_default(), now.wall);
        self.latest = Some(Latest {
            reading,
            written: stamp.modified,
            read: now.wall,
            age_when_read: now.wall.since(stamp.modified),
            read_at: now.instant,
        });
    }

    /// Gives up the values, for those of another.
    pub(super) fn drop_values(&mut self, why: Trouble) {
        self.latest = None;
        self.totals.clear();
        self.labels = Labels::default();
        self.elements = 0;
        self.fault = Some(why);
    }

    /// Gives up the counters of networks that it no longer has. Returns whether there were any.
    pub(super) fn forget_absent(&mut self) -> bool {
        let before = self.totals.len();
        let networks = self.latest.as_ref().map(|latest| &latest.reading.networks);
        self.totals
            .retain(|name, _| networks.is_some_and(|networks| networks.contains_key(name)));
        self.elements = self.latest.as_ref().map_or(0, |latest| latest.reading.elements());
        self.totals.len() < before
    }

    fn count(&mut self, reading: &Reading, interval: Duration, now: Timestamp) {
        for (name, network) in &reading.networks {
            let Some(rate) = network.frame_rate else { continue };
            if let Some(total) = self.totals.get_mut(name) {
                total.frames += rate * interval.as_secs_f64();
            } else {
                self.totals.insert(name.clone(), Total::from(now));
            }
        }
        let is_absent = |name: &String| !reading.networks.contains_key(name);
        let mut absent = self.totals.keys().filter(|name| is_absent(name)).count();
        if absent > MAX_ABSENT {
            self.totals.retain(|name, _| !is_absent(name));
            absent = 0;
        }
        self.elements = reading.elements() + absent;
        self.labels.retain(&reading.networks, &reading.streams);
    }

    /// Assigns the totals to this process from now on, except what the counters of another already include.
    pub(super) fn assign_totals(&mut self, process: ProcessKey) {
        let another = self
            .counted_for
            .replace(process)
            .is_some_and(|before| before != process);
        for total in self.totals.values_mut() {
            if another {
                total.elsewhere = total.exported;
            }
            total.exported = total.frames;
        }
    }

    /// Age of the values: that of the file when it was read, and the monotonic time since. So neither a clock that is set
    /// nor a file from the future keeps values alive.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        let latest = self.latest.as_ref()?;
        Some(latest.age_when_read + now.saturating_duration_since(latest.read_at))
    }

    /// Whether the environment of this process was looked at.
    pub(super) fn is_expected_of(&self, process: ProcessKey) -> bool {
        self.expected.is_some_and(|(of, _)| of == process)
    }

    /// Sets the interval that the environment of its writer gives. Intervals between writes of another process are those
    /// of its own configuration.
    pub(super) fn expect(&mut self, process: ProcessKey, interval: Option<Duration>) {
        if self.expected.replace((process, interval)).is_some() {
            self.intervals.clear();
        }
    }

    /// Whether it may be the file of a process that writes seldom, which is known once its writer was looked for.
    pub(super) fn may_be_seldom_written(&self, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age <= LONGEST_MAX_AGE)
    }

    /// The last version.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        Some(self.seen.as_ref()?.stamp)
    }

    /// The user that owns the file.
    pub(super) fn user(&self) -> Option<u32> {
        Some(self.seen.as_ref()?.stamp.user)
    }

    /// Time between two writes: that of its writer's environment, or the usual one if that is longer.
    pub(super) fn interval(&self) -> Option<Duration> {
        // The median: one long pause of the writer does not raise it.
        let mut sorted: Vec<_> = self.intervals.iter().copied().collect();
        sorted.sort();
        let usual = sorted.get((sorted.len().max(1) - 1) / 2).copied();
        usual.max(self.expected.and_then(|(_, interval)| interval))
    }

    /// Shortest of the last write intervals; zero where none is known.
    pub(super) fn shortest_interval(&self) -> Duration {
        self.intervals.iter().min().copied().unwrap_or_default()
    }

    /// How long from `now` on no write is missed, if none comes sooner after the one before than half the shortest interval of late:
    /// the next one may come at any time, and is replaced by the one after it. Zero where the interval is unknown.
    pub(super) fn longest_rest(&self, now: Instant) -> Duration {
        let interval = self.shortest_interval();
        let age = self.age(now).unwrap_or(interval).min(interval);
        (interval * 2).saturating_sub(age + interval / 2)
    }

    /// Age from which its values are not shown.
    pub(super) fn max_age(&self, configured: Option<Duration>) -> Duration {
        configured.unwrap_or_else(|| max_age(self.interval()))
    }

    pub(super) fn is_fresh(&self, configured: Option<Duration>, now: Instant) -> bool {
        self.age(now).is_some_and(|age| age <= self.max_age(configured))
    }
}

/// Default age limit of a file that is written at this interval.
pub(super) fn max_age(interval: Option<Duration>) -> Duration {
    let limit = interval.unwrap_or_default().saturating_mul(INTERVALS);
    limit.clamp(LEAST_MAX_AGE, LONGEST_MAX_AGE)
}

/// Time between two writes: of the modification times, unless the wall clock was set between them.
fn interval(before: &Seen, stamp: Stamp, at: Instant) -> Duration {
    let by_wall = stamp.modified.since(before.stamp.modified);
    let monotonic = at.saturating_duration_since(before.at);
    let set_back = stamp.modified < before.stamp.modified;
    if set_back || by_wall.abs_diff(monotonic) > CLOCK_SLACK {
        monotonic
    } else {
        by_wall
    }
}

#[cfg(test)]
mod tests;
