//! Meters of energy: what each counted since its last reading.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attributes, Batch, Point, Timestamp, key};

/// Most meters that are remembered, beyond which those read longest ago are not: eight accelerators and the zones of eight
/// sockets are some fifty.
const MAX_METERS: usize = 1024;

const MICROS: f64 = 1e6;

/// The last reading of each meter.
#[derive(Debug, Default)]
pub(super) struct Meters {
    last: HashMap<Arc<Attributes>, Reading>,
}

#[derive(Debug)]
struct Reading {
    micros: u64,
    start: Option<Timestamp>,
    time: Timestamp,
    read: Instant,
}

impl Meters {
    /// Microjoules since the last reading of that meter. What it counted before the first one was not watched.
    pub(super) fn growth(&mut self, point: &Point, now: Instant) -> u64 {
        let joules = point.value.as_f64().unwrap_or_default().max(0.0);
        let micros = (joules * MICROS).round() as u64;
        if self.last.len() >= MAX_METERS && !self.last.contains_key(&point.attributes) {
            let oldest = self.last.iter().min_by_key(|(_, last)| last.read);
            let oldest = oldest.map(|(meter, _)| Arc::clone(meter));
            oldest.and_then(|meter| self.last.remove(&meter));
        }
        let reading = Reading {
            micros,
            start: point.start,
            time: point.time,
            read: now,
        };
        let Some(last) = self.last.insert(Arc::clone(&point.attributes), reading) else {
            return 0;
        };
        let is_new_count = point.start > last.start && point.start.is_some_and(|start| start >= last.time);
        if is_new_count || micros < last.micros {
            return micros;
        }
        micros - last.micros
    }
}

/// The readings of energy in which nothing is counted twice: those of devices that are part of another one of their kind are in
/// that one's, and sensors of the board repeat what the processor itself counts.
pub(super) fn roots(batches: &[Batch]) -> Vec<(&Batch, &Point)> {
    let all = batches
        .iter()
        .flat_map(|batch| batch.points.iter().map(move |point| (batch, point)));
    let all: Vec<(&Batch, &Point)> = all.filter(|(_, point)| *point.instrument == hw::ENERGY).collect();
    let kind = |point: &Point| point.attributes.get(key::HW_TYPE).cloned();
    let first = |point: &Point| {
        let of_kind = all.iter().find(|(_, other)| kind(other) == kind(point));
        of_kind.map(|(batch, _)| &*batch.part.name)
    };
    let is_part = |point: &Point| {
        let parent = point.attributes.get(key::HW_PARENT);
        parent.is_some_and(|parent| {
            let mut others = all.iter().map(|(_, other)| other);
            others.any(|other| other.attributes.get(key::HW_ID) == Some(parent) && kind(other) == kind(point))
        })
    };
    let shared = |point: &Point| matches!(point.attributes.text(key::HW_TYPE), Some("cpu" | "memory"));
    let counted = all
        .iter()
        .filter(|(batch, point)| !is_part(point) && (!shared(point) || first(point) == Some(&*batch.part.name)));
    counted.copied().collect()
}
