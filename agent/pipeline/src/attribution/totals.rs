//! What the processes of a container counted together, those that are gone included.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::growth;
use super::merge::{KEEP, Series};
use super::sources::Growth;
use accelscope_core::metric::{AttributeValue, Point, Timestamp, Value, key};

/// Most totals that are kept although no process adds to them; the ones go first that grew longest ago.
const MAX_IDLE: usize = 20_000;

/// The totals of one part.
#[derive(Debug, Default)]
pub(super) struct Totals {
    known: HashMap<Series, Total>,
}

#[derive(Debug)]
struct Total {
    value: Value,
    start: Timestamp,
    used: Instant,
}

impl Totals {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Adds to the series' total, and makes `point` show that.
    pub(super) fn add(&mut self, series: &Series, grown: Growth, point: &mut Point, now: Instant) {
        if let Some(total) = self.known.get_mut(series) {
            total.value = growth::sum(&total.value, &grown.value);
            total.used = now;
            point.value = total.value.clone();
            point.start = Some(total.start);
        } else {
            point.value = grown.value.clone();
            point.start = Some(grown.since);
            let total = Total {
                value: grown.value,
                start: grown.since,
                used: now,
            };
            self.known.insert(series.clone(), total);
        }
    }

    /// Forgets what nobody adds to and whose container is gone.
    pub(super) fn tidy(&mut self, now: Instant) {
        let recent = |total: &Total| now.duration_since(total.used) < KEEP;
        let live: HashSet<AttributeValue> = self
            .known
            .iter()
            .filter(|(_, total)| recent(total))
            .filter_map(|(series, _)| container(series))
            .collect();
        self.known
            .retain(|series, total| recent(total) || container(series).is_some_and(|id| live.contains(&id)));
        let newest = self.known.values().map(|total| total.used).max();
        let present = self.known.values().filter(|total| Some(total.used) == newest).count();
        super::make_room(&mut self.known, present + MAX_IDLE, |total| total.used);
    }
}

fn container((_, attributes): &Series) -> Option<AttributeValue> {
    attributes.get(key::CONTAINER_ID).cloned()
}
