//! Who each reading of a part came from, and how far it had counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::growth;
use super::merge::KEEP;
use accelscope_core::metric::{Attribute, Attributes, Instrument, Owner, Point, ProcessKey, Timestamp, Value};

/// Most sources that are kept although their newest batch lacks them; the ones go first that were read longest ago.
const MAX_ABSENT: usize = 20_000;

/// Who a reading came from, before its owner became attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    instrument: &'static Instrument,
    attributes: Arc<Attributes>,
    owner: Option<Owner>,
    /// Readings without an owner may be of several processes that nothing tells apart but their order.
    twin: u32,
}

#[derive(Debug)]
struct Source {
    /// What the series' attributes were made of, to notice a name that came late.
    owner: Option<Arc<Vec<Attribute>>>,
    series: Arc<Attributes>,
    last: Option<Counted>,
    run: u64,
    twins: u32,
    read: Instant,
}

#[derive(Debug)]
struct Counted {
    value: Value,
    start: Option<Timestamp>,
    time: Timestamp,
}

/// What a counter or histogram grew by.
#[derive(Debug)]
pub(super) struct Growth {
    /// How much.
    pub(super) value: Value,
    /// Since when.
    pub(super) since: Timestamp,
}

/// The sources of one part.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: HashMap<Key, Source>,
    run: u64,
}

impl Sources {
    /// A batch begins.
    pub(super) fn begin(&mut self) {
        self.run += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The attributes of the series that a reading belongs to, and what it adds to that if it is cumulative.
    pub(super) fn read(
        &mut self,
        point: &Point,
        owner: Option<Arc<Vec<Attribute>>>,
        now: Instant,
    ) -> (Arc<Attributes>, Option<Growth>) {
        let mut key = Key {
            instrument: point.instrument,
            attributes: point.attributes.clone(),
            owner: point.owner.clone(),
            twin: 0,
        };
        let run = self.run;
        if let Some(first) = self.known.get_mut(&key).filter(|first| first.run == run) {
            first.twins += 1;
            key.twin = first.twins;
        }
        let named = |owner: &Option<Arc<Vec<Attribute>>>| match owner {
            Some(more) => Arc::new(point.attributes.with(more.iter().cloned())),
            None => point.attributes.clone(),
        };
        let source = self.known.entry(key).or_insert_with(|| Source {
            series: named(&owner),
            owner: owner.clone(),
            last: None,
            run,
            twins: 0,
            read: now,
        });
        let same_series = source.owner == owner;
        if !same_series {
            (source.series, source.owner) = (named(&owner), owner);
        }
        (source.run, source.twins, source.read) = (run, 0, now);
        let grown = point.instrument.kind.is_cumulative().then(|| source.count(point));
        (source.series.clone(), grown)
    }

    /// Forgets the processes that have ended. One that lives may be read again and must not be counted anew.
    pub(super) fn tidy(&mut self, now: Instant, is_alive: impl Fn(ProcessKey) -> bool) {
        let (run, mut alive) = (self.run, HashMap::new());
        self.known.retain(|key, source| match &key.owner {
            _ if source.run == run && now.duration_since(source.read) < KEEP => true,
            Some(Owner::Process { process, .. }) => *alive.entry(*process).or_insert_with(|| is_alive(*process)),
            Some(Owner::Cgroup(_)) | None => now.duration_since(source.read) < KEEP,
        });
        let present = self.known.values().filter(|source| source.run == run).count();
        super::make_room(&mut self.known, present + MAX_ABSENT, |source| source.read);
    }
}

impl Source {
    fn count(&mut self, point: &Point) -> Growth {
        let grown = match &self.last {
            None => Growth {
                value: point.value.clone(),
                since: point.start.unwrap_or(point.time),
            },
            Some(last) => {
                // A start after the last reading is another count, whatever its value. An earlier one that differs is
                // the same count under a clock that was set.
                let another = point.start > last.start && point.start.is_some_and(|start| start >= last.time);
                let before = (!another).then_some(&last.value);
                Growth {
                    value: growth::since(before, &point.value),
                    since: last.time,
                }
            }
        };
        self.last = Some(Counted {
            value: point.value.clone(),
            start: point.start,
            time: point.time,
        });
        grown
    }
}
