//! Energy by who used it.
//!
//! A device's energy since its last reading is divided among those who used it meanwhile; what is nobody's stays nobody's.
//! Shares are whole microjoules and the rest is nobody's, so that the sum of all parts is what was measured.

mod accelerators;
mod cpus;
mod instances;
mod ledger;
mod meters;
mod split;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use accelscope_core::budget::Budget;
use accelscope_core::energy::{EnergySource, Idle};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::catalogue::agent::SAMPLER_SKIPPED;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, Owner, Point};
use accelscope_core::telemetry::ReasonCounter;

use self::cpus::Cpus;
use self::ledger::{Ledger, Measured};
use self::meters::Meters;
use super::attribution::Attribution;

/// How energy is attributed.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether it is.
    pub enabled: bool,
    /// Whose the energy of idle hardware is.
    pub idle: Idle,
    /// What each sampler tells of the energy that it measures. The name of the part stands for itself where a sampler is not listed.
    pub sources: HashMap<&'static str, EnergySource>,
}

/// Why energy is not divided: more than hardware can use; control groups beyond the bounds.
const IMPLAUSIBLE: &str = "energy_implausible";
const TOO_MANY: &str = "too_many_groups";

/// Name of the part of each sampler that its energy is shown in.
const PART: &str = "energy";

/// Divides the energy that samplers measure.
#[derive(Debug)]
pub struct Energy {
    settings: Settings,
    budget: Budget,
    cpus: Cpus,
    samplers: HashMap<&'static str, Sampler>,
}

/// What is kept of one sampler.
#[derive(Debug)]
struct Sampler {
    /// Those of its parts that measure energy.
    parts: HashSet<Arc<str>>,
    meters: Meters,
    ledger: Ledger,
    skipped: ReasonCounter,
}

impl Energy {
    /// Of the host, within this budget.
    pub fn new(settings: Settings, budget: &Budget, roots: &HostRoots) -> Self {
        Self {
            settings,
            budget: budget.clone(),
            cpus: Cpus::new(roots),
            samplers: HashMap::new(),
        }
    }

    /// Of nothing.
    pub fn none() -> Self {
        Self::new(Settings::default(), &Budget::default(), &HostRoots::new("/"))
    }

    /// The points of a run's processes of which it is not known yet what they are in, if the run measured energy: they use the
    /// hardware too.
    pub fn withheld(&self, batches: &[Batch], mut is_known: impl FnMut(&Owner) -> bool) -> Vec<Point> {
        if !self.settings.enabled || !batches.iter().any(measures) {
            return Vec::new();
        }
        let points = batches.iter().flat_map(|batch| &batch.points);
        let withheld = points.filter(|point| {
            let owner = point.owner.as_ref().filter(|_| point.instrument.owned);
            owner.is_some_and(|owner| !is_known(owner))
        });
        withheld.cloned().collect()
    }

    /// Adds the energy that a run measured, and returns all that is attributed of its sampler. The points have their owners'
    /// attributes, but for those that are withheld.
    pub fn of_run(
        &mut self,
        sampler: &'static str,
        batches: &[Batch],
        withheld: &[Point],
        attribution: &mut Attribution,
        now: Instant,
    ) -> Option<Batch> {
        if !self.settings.enabled {
            return None;
        }
        let is_measured = batches.iter().any(measures);
        if !is_measured && !self.samplers.contains_key(sampler) {
            return None;
        }
        let kept = self.samplers.entry(sampler).or_insert_with(|| Sampler {
            parts: HashSet::new(),
            meters: Meters::default(),
            skipped: ReasonCounter::new(&SAMPLER_SKIPPED, sampler),
            ledger: Ledger::new(&self.budget),
        });
        for batch in batches {
            if measures(batch) {
                kept.parts.insert(Arc::clone(&batch.part.name));
            } else {
                kept.parts.remove(&batch.part.name);
            }
        }
        if !is_measured {
            // A part that was not read this time has its last readings still; without any, all series end.
            return kept.parts.is_empty().then(|| Batch::new(sampler, PART, Vec::new()));
        }
        kept.ledger.begin();
        let declared = self.settings.sources.get(sampler);
        let mut shared: Vec<(Measured, u64)> = Vec::new();
        for grown in kept.meters.read(batches, now) {
            let micros = grown.micros.unwrap_or_else(|| {
                kept.skipped.add(1, IMPLAUSIBLE);
                0
            });
            let source = declared.map_or(&**grown.part, |source| (source.name)(grown.part));
            let measured = Measured {
                kind: grown.kind,
                source: source.into(),
                time: grown.point.time,
            };
            if !meters::is_shared(grown.kind) {
                let instances = declared.and_then(|source| source.instances.as_ref());
                let shares = accelerators::shares(grown.point, batches, withheld, instances, self.settings.idle);
                kept.ledger.add(&measured, micros, &shares, now);
                continue;
            }
            let mut others = shared.iter_mut();
            match others.find(|(other, _)| other.kind == grown.kind && other.source == measured.source) {
                Some((_, sum)) => *sum += micros,
                None => shared.push((measured, micros)),
            }
        }
        if !shared.is_empty() {
            let shares = self.cpus.shares(self.settings.idle, attribution, now);
            if self.cpus.left_out() > 0 {
                kept.skipped.add(self.cpus.left_out(), TOO_MANY);
            }
            for (measured, micros) in &shared {
                kept.ledger.add(measured, *micros, &shares, now);
            }
        }
        Some(Batch::new(sampler, PART, kept.ledger.points()))
    }
}

fn measures(batch: &Batch) -> bool {
    batch.points.iter().any(|point| *point.instrument == hw::ENERGY)
}

#[cfg(test)]
mod tests;
