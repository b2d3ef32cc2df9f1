//! Readings of several processes of one container become one series.

mod forgotten;
mod sources;
mod totals;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use self::sources::Sources;
use self::totals::Totals;
use super::arithmetic::merge;
use super::attribution::Resolution;
use accelscope_core::budget::Budget;
use accelscope_core::metric::{Batch, Owner, Part, Point, ProcessKey, SeriesKey};

/// Turns points with owners into points with all their attributes, each series once.
///
/// Gauges and up-down counters combine by [`Instrument::merge`](accelscope_core::metric::Instrument::merge). Counters and
/// histograms add up by growth: what each process added since its last reading goes into its container's total, where it
/// stays when the process is gone, so that a total never decreases. A series is shown while a process of it is read. Its
/// total is kept while its container counts anything in the part, and for ten minutes after, where memory allows it; so the
/// counter of a process that is started again goes on.
///
/// Only readings of one part are combined: a sampler that reads processes apart puts them into one part.
#[derive(Debug, Default)]
pub(super) struct Aggregator {
    parts: HashMap<Part, State>,
    /// Where in the output each series of the current batch is; kept for its allocation.
    positions: HashMap<SeriesKey, usize>,
    budget: Budget,
}

#[derive(Debug)]
struct State {
    sources: Sources,
    totals: Totals,
}

impl Aggregator {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            budget: budget.clone(),
            ..Self::default()
        }
    }

    /// How many readings and totals are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        let states = || self.parts.values();
        (
            states().map(|state| state.sources.kept()).sum(),
            states().map(|state| state.totals.kept()).sum(),
        )
    }

    /// The batch's points as they go out, with the attributes that `resolve` finds for their owners. Those of a container
    /// whose names are still being looked for are withheld; what they count is not lost, since it is part of their next
    /// reading.
    pub(super) fn apply(
        &mut self,
        batch: Batch,
        now: Instant,
        mut resolve: impl FnMut(&Owner) -> Resolution,
    ) -> Vec<Point> {
        if batch.points.iter().all(|point| !point.instrument.owned) && !self.parts.contains_key(&batch.part) {
            return batch.points;
        }
        let mut out = Vec::with_capacity(batch.points.len());
        let budget = &self.budget;
        let state = self.parts.entry(batch.part).or_insert_with(|| State {
            sources: Sources::new(budget),
            totals: Totals::new(budget),
        });
        state.sources.begin();
        state.totals.begin();
        self.positions.clear();
        for point in batch.points {
            if !point.instrument.owned {
                out.push(point);
                continue;
            }
            let owner = match point.owner.as_ref().map_or(Resolution::Unknown, &mut resolve) {
                Resolution::Known(attributes) => Some(attributes),
                Resolution::Unknown => None,
                Resolution::Wait => continue,
            };
            let outermost = owner.as_ref().and_then(|owner| owner.outermost.clone());
            let (attributes, delta) = state.sources.read(&point, owner, now);
            let series = (point.instrument, attributes.clone());
            let mut named = Point {
                attributes,
                owner: outermost.map(Owner::Outermost),
                ..point
            };
            if let Some(delta) = delta {
                state.totals.add(&series, delta, &mut named, now);
            }
            match self.positions.entry(series) {
                Entry::Vacant(free) => {
                    free.insert(out.len());
                    out.push(named);
                }
                Entry::Occupied(taken) => combine(&mut out[*taken.get()], named),
            }
        }
        state.sources.end(now);
        state.totals.end();
        if self.positions.capacity() > 4 * self.positions.len().max(256) {
            self.positions.shrink_to(2 * self.positions.len());
        }
        // They have the attributes of the series.
        self.positions.clear();
        out
    }

    /// Removes the state of what has ended.
    pub(super) fn evict(&mut self, now: Instant, is_alive: impl Fn(ProcessKey) -> bool) {
        self.parts.retain(|_, state| {
            state.sources.evict(now, &is_alive);
            state.totals.evict(now);
            !(state.sources.is_empty() && state.totals.is_empty())
        });
    }
}

/// Adds `more` of the same series to `point`.
fn combine(point: &mut Point, more: Point) {
    point.time = point.time.max(more.time);
    point.value = if point.instrument.kind.is_cumulative() {
        // Of two totals of one series the later includes the earlier.
        more.value
    } else {
        merge(point.instrument.merge, &point.value, &more.value)
    };
}

#[cfg(test)]
mod tests;
