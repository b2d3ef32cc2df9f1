//! Which processes hold an accelerator now, by the readings of the samplers of accelerators.
//!
//! Sources do not know each other. The pipeline sees the readings of all of them and notes here who owns those that are a
//! state: memory in use, an open device, a running network. A count (`accel.ioctl.calls`) stays when its process has ended
//! and says nothing of now.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::metric::{AttributeValue, Attributes, Owner, Part, Point, ProcessKey, key};
use crate::source::Sources;

/// Most pairs of process and device of one part of a sampler; those with the largest process ids are left out.
const MAX_OF_PART: usize = 8192;

/// Keys of the device in a reading, the first one that it has.
const DEVICE: [&str; 2] = [key::HW_ID, key::ACCEL_DEVICE_NAME];

/// A process and a device that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The process.
    pub process: ProcessKey,
    /// `hw.id` of the device, else `accel.device.name`; nothing where the reading names none.
    pub device: Option<(&'static str, AttributeValue)>,
}

/// Holders of accelerators. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Holders(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The samplers that read accelerators.
    samplers: Vec<&'static str>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    parts: HashMap<Part, OfPart>,
    /// Samplers of accelerators that run and have not reported yet; nothing before it is known which run.
    awaited: Option<Vec<&'static str>>,
}

#[derive(Debug)]
struct OfPart {
    /// Of what was read, so that the same reading again changes nothing and allocates nothing.
    hash: u64,
    held: Vec<Held>,
}

impl Holders {
    /// By the readings of those of these sources that read accelerators.
    pub fn of(sources: Sources) -> Self {
        let samplers = sources.iter().filter(|source| source.reads_accelerators);
        Self::of_samplers(samplers.map(|source| source.name).collect())
    }

    /// By the readings of these samplers.
    pub fn of_samplers(samplers: Vec<&'static str>) -> Self {
        Self(Arc::new(Shared {
            samplers,
            ..Shared::default()
        }))
    }

    /// These samplers run.
    pub fn await_first(&self, running: impl Iterator<Item = &'static str>) {
        let these = running.filter(|sampler| self.0.samplers.contains(sampler));
        self.lock().awaited = Some(these.collect());
        self.0.changed.notify_all();
    }

    /// A run of the sampler is over, and its readings are known here.
    pub fn reported(&self, sampler: &str) {
        let mut state = self.lock();
        let Some(awaited) = &mut state.awaited else { return };
        if let Some(at) = awaited.iter().position(|awaited| *awaited == sampler) {
            awaited.swap_remove(at);
            self.0.changed.notify_all();
        }
    }

    /// Takes the newest readings of a part.
    pub fn set(&self, part: &Part, points: &[Point]) {
        if !self.0.samplers.contains(&part.sampler) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        holding(points).for_each(|one| one.hash(&mut hasher));
        let hash = hasher.finish();
        let mut state = self.lock();
        if state.parts.get(part).is_some_and(|of| of.hash == hash) {
            return;
        }
        let mut held: Vec<_> = holding(points).collect();
        held.sort_unstable();
        held.dedup();
        held.truncate(MAX_OF_PART);
        let held = held.into_iter().map(|(process, device)| Held {
            process,
            device: device.map(|(key, value)| (key, value.clone())),
        });
        let held = held.collect();
        state.parts.insert(part.clone(), OfPart { hash, held });
        state.generation += 1;
        self.0.changed.notify_all();
    }

    /// Forgets the other parts: their readings have ended.
    pub fn retain(&self, is_kept: impl Fn(&Part) -> bool) {
        let mut state = self.lock();
        let before = state.parts.len();
        state.parts.retain(|part, _| is_kept(part));
        state.generation += u64::from(state.parts.len() != before);
    }

    /// All holders with the number of their state, each pair once, ordered by process; nothing while that number is `known`.
    pub fn now(&self, known: Option<u64>) -> Option<(u64, Vec<Held>)> {
        let state = self.lock();
        if known == Some(state.generation) {
            return None;
        }
        let mut all: Vec<Held> = state.parts.values().flat_map(|of| of.held.iter().cloned()).collect();
        all.sort_unstable_by(|a, b| (a.process, &a.device).cmp(&(b.process, &b.device)));
        all.dedup();
        Some((state.generation, all))
    }

    /// Returns when anybody holds an accelerator, at `until` at the latest.
    pub fn wait_for_any(&self, until: Instant) {
        self.wait(until, |state| state.parts.values().any(|of| !of.held.is_empty()));
    }

    /// Returns when each sampler of accelerators has reported, at `until` at the latest.
    pub fn wait_for_all(&self, until: Instant) {
        self.wait(until, |state| state.awaited.as_ref().is_some_and(Vec::is_empty));
    }

    fn wait(&self, until: Instant, is_so: impl Fn(&State) -> bool) {
        let mut state = self.lock();
        while !is_so(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Pair<'a> = (ProcessKey, Option<(&'static str, &'a AttributeValue)>);

/// The processes and devices of the readings that are a state of a process.
fn holding(points: &[Point]) -> impl Iterator<Item = Pair<'_>> {
    points.iter().filter_map(|point| match point.owner {
        Some(Owner::Process { process, .. }) if !point.instrument.kind.is_cumulative() => {
            Some((process, device(&point.attributes)))
        }
        _ => None,
    })
}

fn device(attributes: &Attributes) -> Option<(&'static str, &AttributeValue)> {
    DEVICE
        .into_iter()
        .find_map(|key| attributes.get(key).map(|value| (key, value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::catalogue::{accel, hw};
    use crate::metric::{Instrument, Timestamp};

    fn point(instrument: &'static Instrument, pid: u32, device: &str) -> Point {
        let process = ProcessKey { pid, start_ticks: 7 };
        Point {
            owner: Some(Owner::Process {
                process,
                always_pid: true,
            }),
            ..Point::new(
                instrument,
                Attributes::new([(key::HW_ID, device.into())]),
                1_i64,
                Timestamp::now(),
            )
        }
    }

    fn part(sampler: &'static str, name: &str) -> Part {
        let name = name.into();
        Part { sampler, name }
    }

    fn shown(holders: &Holders) -> Vec<(u32, String)> {
        let (_, all) = holders.now(None).unwrap();
        let device = |held: &Held| held.device.as_ref().map_or(String::new(), |(_, id)| id.to_string());
        all.iter().map(|held| (held.process.pid, device(held))).collect()
    }

    #[test]
    fn who_has_a_state_of_an_accelerator_holds_it_until_the_reading_ends() {
        let holders = Holders::of_samplers(vec!["gpus", "npus"]);
        let memory = &accel::PROCESS_MEMORY_USAGE;
        holders.set(&part("gpus", "0"), &[point(memory, 5, "a"), point(memory, 4, "a")]);
        holders.set(
            &part("npus", ""),
            &[point(memory, 5, "b"), point(&accel::PROCESS_UTILIZATION, 5, "b")],
        );
        let all = [(4, "a"), (5, "a"), (5, "b")].map(|(pid, id)| (pid, id.to_owned()));
        assert_eq!(shown(&holders), all);
        let (generation, _) = holders.now(None).unwrap();
        holders.set(&part("gpus", "0"), &[point(memory, 5, "a"), point(memory, 4, "a")]);
        assert_eq!(holders.now(Some(generation)), None, "nothing is new");
        holders.retain(|part| part.sampler != "npus");
        assert_eq!(shown(&holders), all[..2]);
        holders.set(&part("gpus", "0"), &[]);
        assert_eq!(shown(&holders), []);
    }

    #[test]
    fn a_count_a_reading_of_no_process_and_another_sampler_say_nothing() {
        let holders = Holders::of_samplers(vec!["gpus"]);
        let counted = point(&hw::ENERGY, 5, "a");
        let of_nobody = Point {
            owner: None,
            ..point(&accel::PROCESS_MEMORY_USAGE, 5, "a")
        };
        holders.set(&part("gpus", ""), &[counted, of_nobody]);
        holders.set(&part("host", ""), &[point(&accel::PROCESS_MEMORY_USAGE, 5, "a")]);
        assert_eq!(shown(&holders), []);
    }

    #[test]
    fn a_wait_ends_with_the_first_holder_and_one_for_all_with_the_last_report() {
        let holders = Holders::of_samplers(vec!["gpus", "npus", "off"]);
        holders.await_first(["gpus", "host", "npus"].into_iter());
        let until = Instant::now() + std::time::Duration::from_mins(1);
        let waiting = holders.clone();
        let waits = std::thread::spawn(move || waiting.wait_for_any(until));
        holders.set(&part("gpus", ""), &[point(&accel::PROCESS_MEMORY_USAGE, 5, "a")]);
        waits.join().unwrap();
        let waiting = holders.clone();
        let waits = std::thread::spawn(move || waiting.wait_for_all(until));
        holders.reported("gpus");
        holders.reported("npus");
        waits.join().unwrap();
        assert!(Instant::now() < until);
    }
}
