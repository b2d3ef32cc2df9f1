//! Calls that have not returned.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use agent_ebpf::Slot;

use crate::kernel::Counts;

/// Age from which a call's thread is checked: a thread that was killed leaves its slot behind.
const CHECK_AFTER: Duration = Duration::from_secs(5);
/// Most threads that are checked in one drain.
const MAX_CHECKS: usize = 256;

/// Whether a thread of a process (ids of the initial PID namespace) exists; `true` where that cannot be known.
pub(crate) type Exists<'a> = dyn Fn(u32, u32) -> bool + 'a;

/// A call in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// Id of its process in the initial PID namespace.
    pub(super) process: u32,
    pub(super) record: u32,
    pub(super) device: u32,
    pub(super) command: u32,
    pub(super) age: Duration,
}

/// The calls in flight as of the last drain.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    calls: Vec<Call>,
    /// Number of calls by record, of those that began before the drain before.
    old: HashMap<u32, u64>,
    /// Calls of threads that no longer exist: thread and begin.
    orphans: HashSet<(u64, u64)>,
    orphaned: u64,
    drained: u64,
}

impl InFlight {
    pub(super) fn read(&mut self, counts: &mut dyn Counts, exists: &Exists<'_>) {
        let clock = counts.now();
        let nanos = u64::try_from(clock.as_nanos()).unwrap_or(u64::MAX);
        let mut slots: Vec<Slot> = Vec::new();
        // While a slot is being filled, `began` is 0 and the other fields are those of an earlier call.
        counts.slots(&mut |slot| slots.extend((slot.began != 0).then_some(*slot)));
        let drained = std::mem::replace(&mut self.drained, nanos);
        self.calls.clear();
        self.old.clear();
        let (mut checks, mut orphans) = (0, HashSet::new());
        for slot in slots {
            let age = Duration::from_nanos(nanos.saturating_sub(slot.began));
            let call = (slot.owner, slot.began);
            let mut orphan = self.orphans.contains(&call);
            if !orphan && age >= CHECK_AFTER && checks < MAX_CHECKS {
                checks += 1;
                orphan = !exists((slot.owner >> 32) as u32, slot.owner as u32);
                self.orphaned += u64::from(orphan);
                if orphan {
                    counts.release(&slot);
                }
            }
            if orphan {
                orphans.insert(call);
                continue;
            }
            if slot.began <= drained {
                *self.old.entry(slot.record).or_default() += 1;
            }
            self.calls.push(Call {
                process: (slot.owner >> 32) as u32,
                record: slot.record,
                device: slot.device,
                command: slot.command,
                age,
            });
        }
        self.orphans = orphans;
    }

    /// Number of calls of a record that were in flight at the drain before and still are.
    pub(super) fn of_record(&self, record: u32) -> u64 {
        self.old.get(&record).copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter()
    }

    /// Numbers of the records with calls in flight.
    pub(super) fn records(&self) -> HashSet<u32> {
        self.calls.iter().map(|call| call.record).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Number of calls since the last time with a thread that no longer exists.
    pub(super) fn take_orphaned(&mut self) -> u64 {
        std::mem::take(&mut self.orphaned)
    }
}
