//! What each source of a part counted last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::forgotten::Forgotten;
use crate::attribution::Resolved;
use crate::cumulative::{CumulativeToDelta, Delta, RETENTION};
use crate::owner::{Group, Owner as Room};
use crate::sizes;
use accelscope_core::budget::{Account, Budget, Purpose, count_forgotten};
use accelscope_core::evict_fairly_into;
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, ProcessKey};

/// Most sources that are kept although their newest batch lacks them, where memory allows it; beyond, owners with more than
/// their share lose those read longest ago.
const MAX_ABSENT: usize = 20_000;

/// Fewest that are kept.
const LEAST_ABSENT: usize = 256;

/// Identity of a source, before its owner became attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    instrument: &'static Instrument,
    attributes: Arc<Attributes>,
    owner: Option<Owner>,
    /// Order among readings that differ in nothing else: those of several processes whose owner is not known.
    ordinal: u32,
}

#[derive(Debug)]
struct Source {
    /// What the series' attributes were made of, to notice a name that came late.
    owner: Option<Arc<Resolved>>,
    series: Arc<Attributes>,
    counter: CumulativeToDelta,
    /// Number of the batch that it was last in.
    batch: u64,
    /// Other readings of the same key in that batch.
    others: u32,
    read: Instant,
}

impl Source {
    fn group(&self, key: &Key) -> Group {
        let outermost = self.owner.as_ref().and_then(|owner| owner.outermost.as_ref());
        Room::of("", key.instrument, &self.series, outermost).group()
    }

    fn size(&self) -> u64 {
        (sizes::SOURCE + self.series.size()) as u64
    }
}

/// The sources of one part.
#[derive(Debug)]
pub(super) struct Sources {
    entries: HashMap<Key, Source>,
    batch: u64,
    /// Entries of the newest batch.
    present: usize,
    /// What those take that the newest batch lacks.
    account: Account,
    forgotten: Forgotten,
}

impl Sources {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            entries: HashMap::new(),
            batch: 0,
            present: 0,
            account: budget.account(Purpose::Totals),
            forgotten: Forgotten::default(),
        }
    }

    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.batch += 1;
        self.present = 0;
    }

    /// A batch is complete: what it lacks is kept only as far as there is room.
    pub(super) fn end(&mut self, now: Instant) {
        let absent = self.entries.len() - self.present;
        if absent == 0 {
            self.account.set(0);
            return;
        }
        let batch = self.batch;
        let sizes = self.entries.values().filter(|source| source.batch != batch);
        let mut bytes: u64 = sizes.map(Source::size).sum();
        let room = self.account.room();
        let fitting = usize::try_from(room / (bytes / absent as u64).max(1)).unwrap_or(usize::MAX);
        let most = fitting.clamp(LEAST_ABSENT, MAX_ABSENT);
        if absent > most {
            self.give_up(most, now);
            let sizes = self.entries.values().filter(|source| source.batch != batch);
            bytes = sizes.map(Source::size).sum();
        }
        self.account.set(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.forgotten.is_empty()
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.entries.len()
    }

    /// Leaves at most so many of those that the newest batch lacks.
    fn give_up(&mut self, most: usize, now: Instant) {
        let (batch, before) = (self.batch, self.entries.len());
        let forgotten = &mut self.forgotten;
        let absent_owner = |key: &Key, source: &Source| (source.batch != batch).then(|| source.group(key));
        evict_fairly_into(
            &mut self.entries,
            most,
            absent_owner,
            |source| source.read,
            |key, source| {
                if let Some(read) = source.counter.last_read() {
                    forgotten.add(key, read, now);
                }
            },
        );
        self.entries.shrink_to(2 * self.entries.len());
        count_forgotten("counter", (before - self.entries.len()) as u64);
    }

    /// The attributes of the series that a reading belongs to, and what it adds to that if it is cumulative.
    pub(super) fn read(
        &mut self,
        point: &Point,
        owner: Option<Arc<Resolved>>,
        now: Instant,
    ) -> (Arc<Attributes>, Option<Delta>) {
        let mut key = Key {
            instrument: point.instrument,
            attributes: point.attributes.clone(),
            owner: point.owner.clone(),
            ordinal: 0,
        };
        let batch = self.batch;
        if let Some(first) = self.entries.get_mut(&key).filter(|first| first.batch == batch) {
            first.others += 1;
            key.ordinal = first.others;
        }
        let named = |owner: &Option<Arc<Resolved>>| match owner {
            Some(more) => Arc::new(point.attributes.with(more.iter().cloned())),
            None => point.attributes.clone(),
        };
        let is_cumulative = point.instrument.kind.is_cumulative();
        let (forgotten, entries) = (&mut self.forgotten, &mut self.entries);
        let source = entries.entry(key).or_insert_with_key(|key| {
            let mut counter = CumulativeToDelta::default();
            if is_cumulative && forgotten.take(key, point) {
                // What it counted before is in its series already, or was: only what follows is added.
                counter.next(point);
            }
            Source {
                series: named(&owner),
                owner: owner.clone(),
                counter,
                batch: batch.wrapping_sub(1),
                others: 0,
                read: now,
            }
        });
        self.present += usize::from(source.batch != batch);
        if source.owner != owner {
            (source.series, source.owner) = (named(&owner), owner);
        }
        (source.batch, source.others, source.read) = (batch, 0, now);
        let delta = is_cumulative.then(|| source.counter.next(point));
        (source.series.clone(), delta)
    }

    /// Removes the processes that have ended. One that lives may be read again and must not be counted anew.
    pub(super) fn evict(&mut self, now: Instant, is_alive: impl Fn(ProcessKey) -> bool) {
        let (batch, mut alive) = (self.batch, HashMap::new());
        let forgotten = &mut self.forgotten;
        self.entries.retain(|key, source| match &key.owner {
            _ if source.batch == batch && now.duration_since(source.read) < RETENTION => true,
            Some(Owner::Process { process, .. }) => *alive.entry(*process).or_insert_with(|| is_alive(*process)),
            Some(Owner::Cgroup(_) | Owner::Within(_) | Owner::Outermost(_)) | None => {
                let is_kept = now.duration_since(source.read) < RETENTION;
                if let Some(read) = source.counter.last_read().filter(|_| !is_kept) {
                    forgotten.add(key, read, now);
                }
                is_kept
            }
        });
        self.forgotten.evict(now);
        self.end(now);
    }
}
