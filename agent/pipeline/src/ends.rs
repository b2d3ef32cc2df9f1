//! Ends of series on their way to receivers, and the times that came before.
//!
//! A receiver keeps one order of time for each series: what is older than the series' newest point, its end included, is
//! refused or replaces what is newer. So nothing older follows an end.

use std::collections::HashMap;
use std::time::Duration;

use accelscope_core::metric::{Point, Series, SeriesKey, Timestamp};

/// How long an end is remembered: longer than a reading can be under way.
const MEMORY: Duration = Duration::from_mins(5);
/// Resolution of time of Prometheus: of two samples in one of these the second is refused.
const TICK: u64 = 1_000_000;

/// What has ended since the last collection, and when what ended lately did.
#[derive(Debug)]
pub(super) struct Ends {
    /// Ends to be collected, each after its last value if that was not collected; `None` where the series went on.
    pending: Option<Vec<Option<Series>>>,
    recent: HashMap<SeriesKey, End>,
    limit: usize,
    pruned: Timestamp,
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
    /// Keeps at most `limit` points between two collections.
    pub(super) fn new(collecting: bool, limit: usize) -> Self {
        Self {
            pending: collecting.then(Vec::new),
            recent: HashMap::new(),
            limit,
            pruned: Timestamp::from_unix_nanos(0),
        }
    }

    /// Ends a series at `time` or just after its last value, whichever is later; `uncollected` if that value has not been
    /// collected. Returns the series without a value, and whether its end will be collected.
    pub(super) fn add(&mut self, series: &Series, uncollected: bool, time: Timestamp) -> (Series, bool) {
        let next_tick = (series.time.unix_nanos() / TICK + 1) * TICK;
        let ended = Series {
            value: None,
            time: time.max(Timestamp::from_unix_nanos(next_tick)),
            ..series.clone()
        };
        let (mut place, mut is_kept) = (None, true);
        if let Some(pending) = &mut self.pending {
            is_kept = pending.len() + 2 <= self.limit;
            if is_kept {
                if uncollected {
                    pending.push(Some(series.clone()));
                }
                place = Some(pending.len());
                pending.push(Some(ended.clone()));
            }
        }
        if self.recent.len() < self.limit {
            let end = End {
                read: series.time,
                start: series.start,
                time: ended.time,
                pending: place,
            };
            self.recent.insert((ended.instrument, ended.attributes.clone()), end);
        }
        (ended, is_kept)
    }

    /// Whether this point comes too late for a series without a live value: it is older than the last value, or than an end
    /// that was collected.
    pub(super) fn refuses(&self, key: &SeriesKey, point: &Point) -> bool {
        self.recent
            .get(key)
            .is_some_and(|end| point.time < end.read || (end.pending.is_none() && point.time <= end.time))
    }

    /// A series without a live value gets this point. If its end was not collected yet, and it is the same count or the
    /// point is older than the end, the series has only moved or paused, and has no end.
    pub(super) fn resume(&mut self, key: &SeriesKey, point: &Point) {
        if let Some(end) = self.recent.remove(key)
            && (point.time <= end.time || point.start == end.start)
            && let (Some(place), Some(pending)) = (end.pending, &mut self.pending)
        {
            pending[place] = None;
        }
    }

    /// What is to be collected, in the order in which it happened.
    pub(super) fn take(&mut self) -> Vec<Series> {
        let pending = self.pending.as_mut().map(std::mem::take).unwrap_or_default();
        if !pending.is_empty() {
            self.recent.values_mut().for_each(|end| end.pending = None);
        }
        pending.into_iter().flatten().collect()
    }

    /// Forgets what ended long ago.
    pub(super) fn prune(&mut self, now: Timestamp) {
        if now.since(self.pruned) >= MEMORY {
            self.pruned = now;
            self.recent
                .retain(|_, end| end.pending.is_some() || now.since(end.time) < MEMORY);
        }
    }

    /// The clock was set back: times of before say nothing about those to come.
    pub(super) fn forget_times(&mut self) {
        self.recent.clear();
        self.pruned = Timestamp::from_unix_nanos(0);
    }
}
