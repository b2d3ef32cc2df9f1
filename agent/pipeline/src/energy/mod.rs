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
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, Point, key};

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
    /// What measures, by sampler. The name of the part stands for itself where a sampler is not listed.
    pub sources: HashMap<&'static str, EnergySource>,
}

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

    /// Adds the energy that a run measured, and returns all that is attributed of its sampler. The points have their owners'
    /// attributes.
    pub fn of_run(
        &mut self,
        sampler: &'static str,
        batches: &[Batch],
        attribution: &mut Attribution,
        now: Instant,
    ) -> Option<Batch> {
        if !self.settings.enabled {
            return None;
        }
        let measures = |batch: &Batch| batch.points.iter().any(|point| *point.instrument == hw::ENERGY);
        let is_measured = batches.iter().any(measures);
        if !is_measured && !self.samplers.contains_key(sampler) {
            return None;
        }
        let kept = self.samplers.entry(sampler).or_insert_with(|| Sampler {
            parts: HashSet::new(),
            meters: Meters::default(),
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
        let mut shared: Vec<(Measured, u64)> = Vec::new();
        for (batch, point) in meters::roots(batches) {
            let Some(kind) = kind(point) else { continue };
            let micros = kept.meters.growth(point, now);
            let part = &*batch.part.name;
            let source = self.settings.sources.get(sampler).map_or(part, |name| name(part));
            let measured = Measured {
                kind,
                source: source.into(),
                time: point.time,
            };
            if matches!(kind, "gpu" | "npu") {
                let shares = accelerators::shares(point, batches, self.settings.idle);
                kept.ledger.add(&measured, micros, &shares, now);
                continue;
            }
            // Of processors and memory all of a kind together: processes use any of them.
            let mut others = shared.iter_mut();
            match others.find(|(other, _)| other.kind == kind && other.source == measured.source) {
                Some((_, sum)) => *sum += micros,
                None => shared.push((measured, micros)),
            }
        }
        if !shared.is_empty() {
            let shares = self.cpus.shares(self.settings.idle, attribution, now);
            for (measured, micros) in &shared {
                kept.ledger.add(measured, *micros, &shares, now);
            }
        }
        Some(Batch::new(sampler, PART, kept.ledger.points()))
    }
}

/// The kind of hardware whose energy is divided.
fn kind(point: &Point) -> Option<&'static str> {
    let kind = point.attributes.text(key::HW_TYPE)?;
    ["cpu", "memory", "gpu", "npu"].into_iter().find(|known| *known == kind)
}

#[cfg(test)]
mod tests;
