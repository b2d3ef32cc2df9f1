//! Readings of several processes of one container become one series.
//!
//! Gauges combine by their merge rule. Counters and histograms add up by growth: what each process added since its last
//! reading goes into its container's total, where it stays when the process is gone, so that a total never decreases.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::growth;
use super::{Attribution, Resolution};
use crate::metric::{Attributes, Batch, Instrument, Merge, Owner, Part, Point, Timestamp, Value};

/// How long the total of a series without a live process is kept, so that a restarted container's counter goes on.
const KEEP_TOTALS: Duration = Duration::from_secs(3600);
/// Most totals that are kept without a live process; the oldest go first.
const MAX_IDLE_TOTALS: usize = 40_000;

type Series = (&'static Instrument, Arc<Attributes>);

/// Who a reading came from, before its owner became attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    part: Part,
    instrument: &'static Instrument,
    attributes: Arc<Attributes>,
    owner: Option<Owner>,
}

#[derive(Debug)]
struct Contribution {
    /// What the owner's attributes were made of, to notice a name that came late.
    owner: Option<Arc<Vec<crate::metric::Attribute>>>,
    series: Arc<Attributes>,
    last: Option<Value>,
    batch: u64,
}

#[derive(Debug)]
struct Total {
    value: Value,
    start: Timestamp,
    used: Instant,
}

/// Turns points with owners into points with all their attributes, each series once.
#[derive(Debug, Default)]
pub struct Merger {
    sources: HashMap<Source, Contribution>,
    totals: HashMap<Series, Total>,
    batch: u64,
}

impl Merger {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The batch's points as they go out. Those of a container whose name is still being looked for are withheld;
    /// what they count is not lost, since it is part of their next reading.
    pub fn apply(&mut self, batch: Batch, attribution: &mut Attribution) -> Vec<Point> {
        self.batch += 1;
        let now = Instant::now();
        let (mut out, mut at) = (Vec::with_capacity(batch.points.len()), HashMap::new());
        for point in batch.points {
            if !point.instrument.owned {
                out.push(point);
                continue;
            }
            let owner = match point.owner {
                None => None,
                Some(Owner::Process { process, always_pid }) => match attribution.resolve(process, always_pid, now) {
                    Resolution::Known(attributes) => Some(attributes),
                    Resolution::Unknown => None,
                    Resolution::Wait => continue,
                },
            };
            let merged = self.contribute(&batch.part, point, owner, now);
            match at.entry((merged.instrument, merged.attributes.clone())) {
                Entry::Vacant(free) => {
                    free.insert(out.len());
                    out.push(merged);
                }
                Entry::Occupied(taken) => combine(&mut out[*taken.get()], merged),
            }
        }
        let current = self.batch;
        self.sources
            .retain(|source, contribution| contribution.batch == current || source.part != batch.part);
        self.forget_idle(now);
        out
    }

    /// The point under its series' attributes; a cumulative one with its series' total instead of its own.
    fn contribute(
        &mut self,
        part: &Part,
        point: Point,
        owner: Option<Arc<Vec<crate::metric::Attribute>>>,
        now: Instant,
    ) -> Point {
        let source = Source {
            part: part.clone(),
            instrument: point.instrument,
            attributes: point.attributes.clone(),
            owner: point.owner,
        };
        let named = |owner: &Option<Arc<Vec<_>>>| match owner {
            Some(more) => Arc::new(point.attributes.with(more.iter().cloned())),
            None => point.attributes.clone(),
        };
        let contribution = self.sources.entry(source).or_insert_with(|| Contribution {
            series: named(&owner),
            owner: owner.clone(),
            last: None,
            batch: 0,
        });
        if contribution.owner != owner {
            (contribution.series, contribution.owner) = (named(&owner), owner);
        }
        contribution.batch = self.batch;
        let attributes = contribution.series.clone();
        if !point.instrument.kind.is_cumulative() {
            return Point {
                attributes,
                owner: None,
                ..point
            };
        }
        let grown = growth::since(contribution.last.as_ref(), &point.value);
        contribution.last = Some(point.value);
        let total = match self.totals.entry((point.instrument, attributes.clone())) {
            Entry::Vacant(free) => free.insert(Total {
                value: grown,
                start: point.start.unwrap_or(point.time),
                used: now,
            }),
            Entry::Occupied(taken) => {
                let total = taken.into_mut();
                total.value = growth::sum(&total.value, &grown);
                total.used = now;
                total
            }
        };
        Point {
            attributes,
            owner: None,
            value: total.value.clone(),
            start: Some(total.start),
            ..point
        }
    }

    fn forget_idle(&mut self, now: Instant) {
        self.totals
            .retain(|_, total| now.duration_since(total.used) < KEEP_TOTALS);
        let idle = self.totals.values().filter(|total| total.used != now).count();
        if idle > MAX_IDLE_TOTALS {
            let mut used: Vec<_> = self.totals.values().map(|total| total.used).collect();
            used.sort_unstable();
            let oldest_kept = used[idle - MAX_IDLE_TOTALS];
            self.totals.retain(|_, total| total.used >= oldest_kept);
        }
    }
}

/// Adds `more` of the same series to `point`.
fn combine(point: &mut Point, more: Point) {
    if point.instrument.kind.is_cumulative() {
        // Both are their series' total; the later one includes the earlier.
        point.value = more.value;
    } else {
        point.value = match point.instrument.merge {
            Merge::Sum => growth::sum(&point.value, &more.value),
            Merge::Min => {
                if more.value.as_f64() < point.value.as_f64() {
                    more.value
                } else {
                    point.value.clone()
                }
            }
            Merge::Max => {
                if more.value.as_f64() > point.value.as_f64() {
                    more.value
                } else {
                    point.value.clone()
                }
            }
        };
    }
    point.time = point.time.max(more.time);
}
