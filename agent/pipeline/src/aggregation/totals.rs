//! What the processes of a container counted together, those that are gone included.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::cumulative::{Delta, DeltaToCumulative};
use crate::owner::{Group, Owner as Room};
use crate::sizes;
use accelscope_core::budget::{Account, Budget, Purpose, count_forgotten};
use accelscope_core::evict_fairly;
use accelscope_core::metric::{AttributeValue, Owner, Point, SeriesKey, key};

/// How long a total is kept to which no process adds, and whose container counts nothing else. What comes back later begins
/// a count with a start of its own.
const RETENTION: Duration = Duration::from_mins(10);

/// Most totals that are kept although no process adds to them, where memory allows it; beyond, owners with more than their
/// share lose those that grew longest ago.
const MAX_IDLE: usize = 20_000;

/// Fewest that are kept.
const LEAST_IDLE: usize = 256;

/// The totals of one part.
#[derive(Debug)]
pub(super) struct Totals {
    entries: HashMap<SeriesKey, Total>,
    /// What those take to which the newest batch did not add.
    account: Account,
    /// Number of the newest batch, and to how many totals it added.
    batch: u64,
    added: usize,
}

#[derive(Debug)]
struct Total {
    counter: DeltaToCumulative,
    /// Number of the batch that added to it last, and when that was.
    batch: u64,
    used: Instant,
    /// What the processes are in, where the attributes do not name it.
    outermost: Option<Group>,
}

impl Totals {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            entries: HashMap::new(),
            account: budget.account(Purpose::Totals),
            batch: 0,
            added: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.entries.len()
    }

    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.batch += 1;
        self.added = 0;
    }

    /// Adds to the series' total, which becomes the value of `point`.
    pub(super) fn add(&mut self, series: &SeriesKey, delta: Delta, point: &mut Point, now: Instant) {
        let total = self.entries.entry(series.clone()).or_insert_with(|| Total {
            counter: DeltaToCumulative::default(),
            batch: 0,
            used: now,
            outermost: match &point.owner {
                Some(Owner::Outermost(group)) => Some(group.clone()),
                _ => None,
            },
        });
        total.counter.add(delta, point);
        self.added += usize::from(total.batch != self.batch);
        (total.batch, total.used) = (self.batch, now);
    }

    /// A batch is complete: totals to which it did not add are kept only as far as there is room.
    pub(super) fn end(&mut self) {
        let idle = self.entries.len() - self.added;
        if idle == 0 {
            self.account.set(0);
            return;
        }
        let newest = self.batch;
        let is_idle = |total: &Total| total.batch != newest;
        let size = |entries: &HashMap<SeriesKey, Total>| -> u64 {
            let idle = entries.iter().filter(|(_, total)| is_idle(total));
            idle.map(|((_, attributes), _)| (sizes::TOTAL + attributes.size()) as u64)
                .sum()
        };
        let mut bytes = size(&self.entries);
        let fitting = self.account.room() / (bytes / idle as u64).max(1);
        let most = usize::try_from(fitting)
            .unwrap_or(usize::MAX)
            .clamp(LEAST_IDLE, MAX_IDLE);
        if idle > most {
            let before = self.entries.len();
            let idle_owner = |(instrument, attributes): &SeriesKey, total: &Total| {
                let owner = || Room::of("", instrument, attributes, total.outermost.as_ref()).group();
                is_idle(total).then(owner)
            };
            evict_fairly(&mut self.entries, most, idle_owner, |total| total.used);
            self.entries.shrink_to(2 * self.entries.len());
            count_forgotten("total", (before - self.entries.len()) as u64);
            bytes = size(&self.entries);
        }
        self.account.set(bytes);
    }

    /// Removes the totals that no process adds to and whose container is gone.
    pub(super) fn evict(&mut self, now: Instant) {
        let newest = self.batch;
        // However long the sampler's period is.
        let recent = |total: &Total| total.batch == newest || now.duration_since(total.used) < RETENTION;
        let live: HashSet<AttributeValue> = self
            .entries
            .iter()
            .filter(|(_, total)| recent(total))
            .filter_map(|(series, _)| container(series))
            .collect();
        self.entries
            .retain(|series, total| recent(total) || container(series).is_some_and(|id| live.contains(&id)));
        self.end();
    }
}

fn container((_, attributes): &SeriesKey) -> Option<AttributeValue> {
    attributes.get(key::CONTAINER_ID).cloned()
}
