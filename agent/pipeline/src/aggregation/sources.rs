//! What each source of a part counted last.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::attribution::Resolved;
use crate::cumulative::{CumulativeToDelta, Delta, RETENTION};
use crate::owner::Owner as Room;
use accelscope_core::evict_fairly;
use accelscope_core::metric::{Attributes, Instrument, Owner, Point, ProcessKey};

/// Most sources that are kept although their newest batch lacks them; beyond, owners with more than their share lose those
/// read longest ago.
const MAX_ABSENT: usize = 20_000;

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

/// The sources of one part.
#[derive(Debug, Default)]
pub(super) struct Sources {
    entries: HashMap<Key, Source>,
    batch: u64,
}

impl Sources {
    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.batch += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
        let source = self.entries.entry(key).or_insert_with(|| Source {
            series: named(&owner),
            owner: owner.clone(),
            counter: CumulativeToDelta::default(),
            batch,
            others: 0,
            read: now,
        });
        if source.owner != owner {
            (source.series, source.owner) = (named(&owner), owner);
        }
        (source.batch, source.others, source.read) = (batch, 0, now);
        let delta = point
            .instrument
            .kind
            .is_cumulative()
            .then(|| source.counter.next(point));
        (source.series.clone(), delta)
    }

    /// Removes the processes that have ended. One that lives may be read again and must not be counted anew.
    pub(super) fn evict(&mut self, now: Instant, is_alive: impl Fn(ProcessKey) -> bool) {
        let (batch, mut alive) = (self.batch, HashMap::new());
        self.entries.retain(|key, source| match &key.owner {
            _ if source.batch == batch && now.duration_since(source.read) < RETENTION => true,
            Some(Owner::Process { process, .. }) => *alive.entry(*process).or_insert_with(|| is_alive(*process)),
            Some(Owner::Cgroup(_) | Owner::Outermost(_)) | None => now.duration_since(source.read) < RETENTION,
        });
        let absent_owner = |key: &Key, source: &Source| {
            let outermost = source.owner.as_ref().and_then(|owner| owner.outermost.as_ref());
            let owner = || Room::of("", key.instrument, &source.series, outermost).group();
            (source.batch != batch).then(owner)
        };
        evict_fairly(&mut self.entries, MAX_ABSENT, absent_owner, |source| source.read);
    }
}
