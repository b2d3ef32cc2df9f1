//! What the processes of a container counted together, those that are gone included.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use crate::cumulative::{Delta, DeltaToCumulative, RETENTION};
use crate::owner::Owner as Room;
use accelscope_core::evict_fairly;
use accelscope_core::metric::{AttributeValue, Point, SeriesKey, key};

/// Most totals that are kept although no process adds to them; beyond, owners with more than their share lose those that
/// grew longest ago.
const MAX_IDLE: usize = 20_000;

/// The totals of one part.
#[derive(Debug, Default)]
pub(super) struct Totals {
    entries: HashMap<SeriesKey, Total>,
}

#[derive(Debug)]
struct Total {
    counter: DeltaToCumulative,
    used: Instant,
}

impl Totals {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds to the series' total, which becomes the value of `point`.
    pub(super) fn add(&mut self, series: &SeriesKey, delta: Delta, point: &mut Point, now: Instant) {
        let total = self.entries.entry(series.clone()).or_insert_with(|| Total {
            counter: DeltaToCumulative::default(),
            used: now,
        });
        total.counter.add(delta, point);
        total.used = now;
    }

    /// Removes the totals that no process adds to and whose container is gone.
    pub(super) fn evict(&mut self, now: Instant) {
        let recent = |total: &Total| now.duration_since(total.used) < RETENTION;
        let live: HashSet<AttributeValue> = self
            .entries
            .iter()
            .filter(|(_, total)| recent(total))
            .filter_map(|(series, _)| container(series))
            .collect();
        self.entries
            .retain(|series, total| recent(total) || container(series).is_some_and(|id| live.contains(&id)));
        let newest = self.entries.values().map(|total| total.used).max();
        let idle_owner = |(instrument, attributes): &SeriesKey, total: &Total| {
            let owner = || Room::of("", instrument, attributes, None).group();
            (Some(total.used) != newest).then(owner)
        };
        evict_fairly(&mut self.entries, MAX_IDLE, idle_owner, |total| total.used);
    }
}

fn container((_, attributes): &SeriesKey) -> Option<AttributeValue> {
    attributes.get(key::CONTAINER_ID).cloned()
}
