//! Readings of several processes of one container become one series.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sources::Sources;
use super::totals::Totals;
use super::{Attribution, Resolution, growth};
use accelscope_core::metric::{Attributes, Batch, CgroupOwner, Instrument, Merge, Owner, Part, Point, ProcessKey};

/// How often what has ended is looked for.
const TIDY: Duration = Duration::from_mins(1);

/// How long what can be neither seen to live nor to have ended is kept.
pub(super) const KEEP: Duration = Duration::from_hours(1);

/// A series, by what it is.
pub(super) type Series = (&'static Instrument, Arc<Attributes>);

/// Who knows processes.
pub(super) trait Resolve {
    /// See [`Attribution::resolve`].
    fn resolve(&mut self, process: ProcessKey, always_pid: bool, now: Instant) -> Resolution;
    /// See [`Attribution::resolve_cgroup`].
    fn resolve_cgroup(&mut self, owner: &Arc<CgroupOwner>, now: Instant) -> Resolution;
    /// See [`Attribution::is_alive`].
    fn is_alive(&self, process: ProcessKey) -> bool;
}

impl Resolve for Attribution {
    fn resolve(&mut self, process: ProcessKey, always_pid: bool, now: Instant) -> Resolution {
        Self::resolve(self, process, always_pid, now)
    }

    fn resolve_cgroup(&mut self, owner: &Arc<CgroupOwner>, now: Instant) -> Resolution {
        Self::resolve_cgroup(self, owner, now)
    }

    fn is_alive(&self, process: ProcessKey) -> bool {
        Self::is_alive(self, process)
    }
}

/// Turns points with owners into points with all their attributes, each series once.
///
/// Gauges and up-down counters combine by [`Instrument::merge`]. Counters and histograms add up by growth: what each
/// process added since its last reading goes into its container's total, where it stays when the process is gone, so that
/// a total never decreases. A series is shown while a process of it is read. Its total is kept while its container
/// counts anything in the part, and for an hour after; so the counter of a process that is started again goes on.
///
/// Only readings of one part are combined: a sampler that reads processes apart puts them into one part.
#[derive(Debug, Default)]
pub struct Merger {
    parts: HashMap<Part, State>,
    placed: HashMap<Series, usize>,
    tidied: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    sources: Sources,
    totals: Totals,
}

impl Merger {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch's points as they go out. Those of a container whose names are still being looked for are withheld;
    /// what they count is not lost, since it is part of their next reading.
    pub fn apply(&mut self, batch: Batch, attribution: &mut Attribution) -> Vec<Point> {
        self.apply_at(batch, attribution, Instant::now())
    }

    fn apply_at(&mut self, batch: Batch, processes: &mut impl Resolve, now: Instant) -> Vec<Point> {
        self.tidy(processes, now);
        let mut out = Vec::with_capacity(batch.points.len());
        if batch.points.iter().all(|point| !point.instrument.owned) && !self.parts.contains_key(&batch.part) {
            return batch.points;
        }
        let state = self.parts.entry(batch.part).or_default();
        state.sources.begin();
        self.placed.clear();
        for point in batch.points {
            if !point.instrument.owned {
                out.push(point);
                continue;
            }
            let resolution = match &point.owner {
                None => Resolution::Unknown,
                Some(Owner::Process { process, always_pid }) => processes.resolve(*process, *always_pid, now),
                Some(Owner::Cgroup(owner)) => processes.resolve_cgroup(owner, now),
            };
            let owner = match resolution {
                Resolution::Known(attributes) => Some(attributes),
                Resolution::Unknown => None,
                Resolution::Wait => continue,
            };
            let (attributes, grown) = state.sources.read(&point, owner, now);
            let series = (point.instrument, attributes.clone());
            let mut named = Point {
                attributes,
                owner: None,
                ..point
            };
            if let Some(grown) = grown {
                state.totals.add(&series, grown, &mut named, now);
            }
            match self.placed.entry(series) {
                Entry::Vacant(free) => {
                    free.insert(out.len());
                    out.push(named);
                }
                Entry::Occupied(taken) => combine(&mut out[*taken.get()], named),
            }
        }
        out
    }

    fn tidy(&mut self, processes: &impl Resolve, now: Instant) {
        if self.tidied.is_some_and(|tidied| now.duration_since(tidied) < TIDY) {
            return;
        }
        self.tidied = Some(now);
        self.parts.retain(|_, state| {
            state.sources.tidy(now, |process| processes.is_alive(process));
            state.totals.tidy(now);
            !(state.sources.is_empty() && state.totals.is_empty())
        });
    }
}

/// Adds `more` of the same series to `point`.
fn combine(point: &mut Point, more: Point) {
    point.time = point.time.max(more.time);
    let (before, now) = (point.value.as_f64(), more.value.as_f64());
    // Of two totals of one series the later includes the earlier.
    let replaced = point.instrument.kind.is_cumulative()
        || match point.instrument.merge {
            Merge::Sum => false,
            Merge::Min => now < before,
            Merge::Max => now > before,
        };
    if replaced {
        point.value = more.value;
    } else if point.instrument.merge == Merge::Sum {
        point.value = growth::sum(&point.value, &more.value);
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
