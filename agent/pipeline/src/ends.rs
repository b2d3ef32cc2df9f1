//! Ends of series on their way to receivers, and the times that came before.
//!
//! A receiver keeps one order of time for each series: what is older than the series' newest point, its end included, is
//! refused or replaces what is newer. So nothing older follows an end.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::owner::{Group, Owner};
use super::sizes;
use accelscope_core::budget::{Account, Budget, Purpose};
use accelscope_core::fair::{self, Demand};
use accelscope_core::metric::{Collected, Point, Series, SeriesKey, Timestamp};

/// How long an end is remembered: longer than a reading can be under way.
const MEMORY: Duration = Duration::from_mins(5);
/// Resolution of time of Prometheus: of two samples in one of these the second is refused.
const TICK: u64 = 1_000_000;
/// Part of the pending ends that is given up at once when there is no room: searches for who has the most are rare then.
const QUARTER: u64 = 4;
/// Least time between two searches for ends that need not be remembered, when there are too many.
const PAUSE: Duration = Duration::from_secs(10);
/// Most ends that are remembered, some 150 bytes each.
const MAX_RECENT: usize = 16_384;

/// What has ended since the last collection, and when what ended lately did.
#[derive(Debug)]
pub(super) struct Ends {
    /// Ends to be collected, each after its last value if that was not collected; nothing where none are collected.
    pending: Option<Vec<Pending>>,
    /// By a hash of the series' identity: what ended long ago is not worth its names.
    recent: HashMap<u64, End>,
    hasher: RandomState,
    limit: usize,
    pruned: Timestamp,
    /// When there were last too many to be remembered.
    crowded: Timestamp,
    account: Account,
    bytes: u64,
    /// Who has most of the room by far, once there is none left: until the next collection it gets no more.
    crowded_by: Option<Group>,
}

#[derive(Debug)]
struct Pending {
    /// Nothing where the series went on, or the end was given up.
    series: Option<Series>,
    /// Whose it was, and what it takes in bytes.
    group: Group,
    is_workload: bool,
    bytes: u64,
}

#[derive(Debug)]
struct End {
    /// Of the last value.
    read: Timestamp,
    start: Option<Timestamp>,
    time: Timestamp,
    /// Its place among those to be collected.
    pending: Option<usize>,
}

impl Ends {
    /// Keeps at most `limit` points between two collections, and no more than the budget has room for.
    pub(super) fn new(collecting: bool, limit: usize, budget: &Budget) -> Self {
        Self {
            pending: collecting.then(Vec::new),
            recent: HashMap::new(),
            hasher: RandomState::new(),
            limit,
            pruned: Timestamp::from_unix_nanos(0),
            crowded: Timestamp::from_unix_nanos(0),
            account: budget.account(Purpose::Ends),
            bytes: 0,
            crowded_by: None,
        }
    }

    /// Ends a series of `owner` at `time` or just after its last value, whichever is later; `uncollected` if that value has
    /// not been collected. Returns the series without a value, and how many series lost their end for want of room, this one
    /// included.
    pub(super) fn add(&mut self, series: &Series, owner: &Owner, uncollected: bool, time: Timestamp) -> (Series, u64) {
        let (group, is_workload) = (owner.group(), owner.workload().is_some());
        let next_tick = (series.time.unix_nanos() / TICK + 1) * TICK;
        let ended = Series {
            value: None,
            time: time.max(Timestamp::from_unix_nanos(next_tick)),
            ..series.clone()
        };
        let (mut place, mut forgotten) = (None, 0);
        if self.pending.is_some() {
            let points = 1 + usize::from(uncollected);
            let bytes = (points * sizes::END + series.attributes.size()) as u64;
            forgotten += self.make_room(bytes, &group);
            let mut left = self.account.room().saturating_sub(self.bytes);
            if let Some(pending) = &mut self.pending {
                if pending.len() + points > self.limit {
                    left = 0;
                }
                if bytes <= left {
                    let mut push = |series, bytes| {
                        let group = group.clone();
                        pending.push(Pending {
                            series,
                            group,
                            is_workload,
                            bytes,
                        });
                    };
                    if uncollected {
                        push(Some(series.clone()), 0);
                    }
                    push(Some(ended.clone()), bytes);
                    place = Some(pending.len() - 1);
                    self.bytes += bytes;
                } else {
                    forgotten += 1;
                }
            }
            self.account.set(self.bytes);
        }
        if self.recent.len() >= MAX_RECENT && time.since(self.crowded) >= PAUSE {
            self.crowded = time;
            self.prune_to(Duration::from_mins(1), time);
        }
        if self.recent.len() < self.limit.min(MAX_RECENT) {
            let end = End {
                read: series.time,
                start: series.start,
                time: ended.time,
                pending: place,
            };
            let key = (ended.instrument, ended.attributes.clone());
            self.recent.insert(self.hasher.hash_one(&key), end);
        }
        (ended, forgotten)
    }

    /// Gives up ends of those that have more than their share, if there is no room for so many bytes more of `group`.
    /// Returns of how many series.
    fn make_room(&mut self, bytes: u64, group: &Group) -> u64 {
        let (room, Some(pending)) = (self.account.room(), &mut self.pending) else {
            return 0;
        };
        let is_full = pending.len() + 2 > self.limit;
        if self.bytes + bytes <= room && !is_full {
            return 0;
        }
        if self.crowded_by.as_ref() == Some(group) {
            return 0;
        }
        let mut held: HashMap<Group, u64> = HashMap::new();
        for end in pending.iter().filter(|end| end.series.is_some()) {
            *held.entry(end.group.clone()).or_default() += end.bytes.max(1);
        }
        let demands = held.iter().map(|(group, bytes)| {
            let has = usize::try_from(*bytes).unwrap_or(usize::MAX);
            (group.clone(), Demand { has, wants: has })
        });
        let whole: u64 = held.values().sum();
        let target = whole.min(room) - whole.min(room) / QUARTER;
        let limits = fair::limits(demands, usize::try_from(target).unwrap_or(usize::MAX));
        // Whoever has the most by far does not make room for more of the same: what came first stays.
        if limits.len() == 1 && limits.contains_key(group) {
            self.crowded_by = Some(group.clone());
            return 0;
        }
        let mut surplus: HashMap<Group, u64> = HashMap::new();
        for (group, limit) in limits {
            let more = held.get(&group).copied().unwrap_or_default() - limit as u64;
            surplus.insert(group, more);
        }
        let mut given_up = 0;
        // The newest first, an end together with the value before it.
        let mut with_end = false;
        for end in pending.iter_mut().rev().filter(|end| end.series.is_some()) {
            let is_value = end.bytes == 0;
            if is_value && with_end {
                (end.series, with_end) = (None, false);
                continue;
            }
            with_end = false;
            if let Some(left) = surplus.get_mut(&end.group).filter(|left| **left > 0) {
                *left = left.saturating_sub(end.bytes.max(1));
                self.bytes -= end.bytes;
                (end.series, with_end) = (None, true);
                given_up += 1;
            }
        }
        self.compact();
        given_up
    }

    /// Removes the places of what is not collected.
    fn compact(&mut self) {
        let Some(pending) = &mut self.pending else { return };
        let (mut places, mut next) = (Vec::with_capacity(pending.len()), 0);
        for end in pending.iter() {
            places.push(end.series.is_some().then_some(next));
            next += usize::from(end.series.is_some());
        }
        pending.retain(|end| end.series.is_some());
        for end in self.recent.values_mut() {
            end.pending = end.pending.and_then(|place| places.get(place).copied().flatten());
        }
    }

    /// Whether this point comes too late for a series without a live value: it is older than the last value, or than an end
    /// that was collected.
    pub(super) fn refuses(&self, key: &SeriesKey, point: &Point) -> bool {
        self.recent
            .get(&self.hasher.hash_one(key))
            .is_some_and(|end| point.time < end.read || (end.pending.is_none() && point.time <= end.time))
    }

    /// A series without a live value gets this point. If its end was not collected yet, and it is the same count or the
    /// point is older than the end, the series has only moved or paused, and has no end.
    pub(super) fn resume(&mut self, key: &SeriesKey, point: &Point) {
        if let Some(end) = self.recent.remove(&self.hasher.hash_one(key))
            && (point.time <= end.time || point.start == end.start)
            && let (Some(place), Some(pending)) = (end.pending, &mut self.pending)
            && let Some(end) = pending.get_mut(place)
        {
            end.series = None;
            self.bytes -= std::mem::take(&mut end.bytes);
            self.account.set(self.bytes);
        }
    }

    /// What is to be collected, in the order in which it happened.
    pub(super) fn take(&mut self) -> Vec<Collected> {
        let pending = self.pending.as_mut().map(std::mem::take).unwrap_or_default();
        if !pending.is_empty() {
            self.recent.values_mut().for_each(|end| end.pending = None);
        }
        self.bytes = 0;
        self.crowded_by = None;
        self.account.set(0);
        let collected = pending.into_iter().filter_map(|end| {
            Some(Collected {
                series: end.series?,
                workload: end.is_workload.then_some(end.group),
            })
        });
        collected.collect()
    }

    /// Forgets what ended long ago.
    pub(super) fn prune(&mut self, now: Timestamp) {
        if now.since(self.pruned) >= MEMORY {
            self.pruned = now;
            self.prune_to(MEMORY, now);
            self.recent.shrink_to(2 * self.recent.len());
        }
    }

    fn prune_to(&mut self, age: Duration, now: Timestamp) {
        self.recent
            .retain(|_, end| end.pending.is_some() || now.since(end.time) < age);
    }

    /// The clock was set back: times of before say nothing about those to come.
    pub(super) fn forget_times(&mut self) {
        self.recent.clear();
        self.pruned = Timestamp::from_unix_nanos(0);
        self.crowded = self.pruned;
    }

    /// How many ends are kept, pending and remembered.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.pending.as_ref().map_or(0, Vec::len), self.recent.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_support::RATE;
    use accelscope_core::budget;
    use accelscope_core::metric::{Attributes, Value, key};

    fn series(name: String) -> Series {
        Series {
            instrument: &RATE,
            attributes: Arc::new(Attributes::new([(key::HW_NAME, name.into())])),
            value: Some(Value::Int(1)),
            time: Timestamp::from_unix_nanos(1),
            start: None,
        }
    }

    #[test]
    fn a_flood_of_ends_takes_no_end_of_another_and_what_is_lost_is_counted() {
        // A mebibyte for ends.
        let budget = Budget::new(budget::FIXED + (10 << 20), 0);
        let mut ends = Ends::new(true, 100_000, &budget);
        let workload = |name: &str| Owner::Workload {
            group: name.into(),
            name: name.into(),
        };
        let (flood, small) = (workload("flood"), workload("small"));
        let mut forgotten = 0;
        for nth in 0..20_000 {
            let now = Timestamp::from_unix_nanos(2 + nth);
            let flooded = series(format!("flood {nth}"));
            forgotten += ends.add(&flooded, &flood, true, now).1;
            if nth % 200 == 199 {
                let other = series(format!("small {nth}"));
                forgotten += ends.add(&other, &small, true, now).1;
            }
            assert!(budget.used(Purpose::Ends) <= 1 << 20);
        }
        let collected: Vec<Series> = ends.take().into_iter().map(|one| one.series).collect();
        let of_small = |series: &&Series| series.attributes.text(key::HW_NAME).unwrap().starts_with("small");
        let kept = |ended: bool| collected.iter().filter(move |series| series.value.is_none() == ended);
        assert_eq!(kept(true).filter(of_small).count(), 100);
        assert_eq!(kept(false).filter(of_small).count(), 100, "the last values too");
        let kept = kept(true).count();
        assert!(kept > 1000, "{kept}");
        assert_eq!(kept as u64 + forgotten, 20_100);
        assert_eq!(budget.used(Purpose::Ends), 0);
    }
}
