//! Meters of energy: what each counted since its last reading.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Batch, Point, Timestamp, key};

/// Most meters that are remembered, beyond which those read longest ago are not: eight accelerators and the zones of eight
/// sockets are some fifty.
const MAX_METERS: usize = 1024;

/// Most power of one meter in watts, and what it may count at once in addition, in microjoules: it may be updated rarely.
const MAX_WATTS: f64 = 20_000.0;
const GRAIN: f64 = 1e9;

/// How long the part of a sampler that measures processors and memory is waited for, before another one counts for them.
const PATIENCE: Duration = Duration::from_mins(1);

const MICROS: f64 = 1e6;

/// `hw.id` and `hw.type`.
type Meter = (Arc<str>, &'static str);

/// The last reading of each meter.
#[derive(Debug, Default)]
pub(super) struct Meters {
    last: HashMap<Meter, Reading>,
    /// Which part measures processors and memory, and when it did last.
    parts: HashMap<&'static str, (Arc<str>, Instant)>,
}

#[derive(Debug)]
struct Reading {
    micros: u64,
    start: Option<Timestamp>,
    time: Timestamp,
    read: Instant,
    /// `hw.id` of what the device was last said to be a part of.
    parent: Option<Arc<str>>,
}

/// A reading of energy that is divided.
#[derive(Debug)]
pub(super) struct Grown<'a> {
    /// The part of the sampler that it is of.
    pub(super) part: &'a Arc<str>,
    pub(super) point: &'a Point,
    /// Value of `hw.type`.
    pub(super) kind: &'static str,
    /// Microjoules since the last reading; nothing where that is beyond what hardware can use.
    pub(super) micros: Option<u64>,
}

impl Meters {
    /// The readings in which nothing is counted twice: those of devices that are part of another one of their kind are in that
    /// one's, also where that was not read this time, and sensors of the board repeat what the processor itself counts.
    pub(super) fn read<'a>(&mut self, batches: &'a [Batch], now: Instant) -> Vec<Grown<'a>> {
        let all = batches
            .iter()
            .flat_map(|batch| batch.points.iter().map(move |point| (&batch.part.name, point)));
        let energy = all.filter_map(|(part, point)| {
            let is_energy = *point.instrument == hw::ENERGY;
            is_energy.then_some((part, point, kind(point)?))
        });
        let energy: Vec<(&Arc<str>, &Point, &'static str)> = energy.collect();
        let mut grown = Vec::with_capacity(energy.len());
        for (part, point, kind) in &energy {
            let micros = self.growth(point, kind, now);
            grown.push(Grown {
                part,
                point,
                kind,
                micros,
            });
        }
        // Once all are read: a part may be listed before what it is a part of.
        grown.retain(|one| !self.is_part(one.point, one.kind) && self.is_measured_by(one.part, one.kind, now));
        grown
    }

    /// What the meter counted before the first reading was not watched.
    fn growth(&mut self, point: &Point, kind: &'static str, now: Instant) -> Option<u64> {
        let meter = (text(point, key::HW_ID).unwrap_or_default(), kind);
        let joules = point.value.as_f64().unwrap_or_default().max(0.0);
        let micros = (joules * MICROS).round() as u64;
        if self.last.len() >= MAX_METERS && !self.last.contains_key(&meter) {
            let oldest = self.last.iter().min_by_key(|(_, last)| last.read);
            let oldest = oldest.map(|(meter, _)| meter.clone());
            oldest.and_then(|meter| self.last.remove(&meter));
        }
        let parent = text(point, key::HW_PARENT);
        let known = self.last.get(&meter).and_then(|last| last.parent.clone());
        let reading = Reading {
            micros,
            start: point.start,
            time: point.time,
            read: now,
            parent: parent.or(known),
        };
        let Some(last) = self.last.insert(meter, reading) else {
            return Some(0);
        };
        let is_new_count = point.start > last.start && point.start.is_some_and(|start| start >= last.time);
        let grown = if is_new_count || micros < last.micros {
            micros
        } else {
            micros - last.micros
        };
        let seconds = now.saturating_duration_since(last.read).as_secs_f64();
        (grown as f64 <= MAX_WATTS * MICROS * seconds + GRAIN).then_some(grown)
    }

    /// Whether it is part of another one of its kind.
    fn is_part(&self, point: &Point, kind: &'static str) -> bool {
        let meter = (text(point, key::HW_ID).unwrap_or_default(), kind);
        let parent = self.last.get(&meter).and_then(|last| last.parent.clone());
        parent.is_some_and(|parent| self.last.contains_key(&(parent, kind)))
    }

    /// Whether that part of the sampler is the one that counts for hardware of this kind.
    fn is_measured_by(&mut self, part: &Arc<str>, kind: &'static str, now: Instant) -> bool {
        if !is_shared(kind) {
            return true;
        }
        let (by, seen) = self.parts.entry(kind).or_insert_with(|| (Arc::clone(part), now));
        if by != part && now.saturating_duration_since(*seen) > PATIENCE {
            *by = Arc::clone(part);
        }
        if by == part {
            *seen = now;
        }
        by == part
    }
}

/// Whether all devices of the kind are divided together, since processes use any of them.
pub(super) fn is_shared(kind: &str) -> bool {
    matches!(kind, "cpu" | "memory")
}

/// The kind of hardware, where its energy is divided.
fn kind(point: &Point) -> Option<&'static str> {
    let kind = point.attributes.text(key::HW_TYPE)?;
    ["cpu", "memory", "gpu", "npu"].into_iter().find(|known| *known == kind)
}

fn text(point: &Point, key: &'static str) -> Option<Arc<str>> {
    point.attributes.text(key).map(Arc::from)
}
