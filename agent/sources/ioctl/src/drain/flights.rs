//! Calls that have not returned.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use agent_ebpf::Slot;

use crate::kernel::Kernel;

/// Age from which a call's thread is looked at: it may have been ended without a return that the programs saw.
const DOUBT: Duration = Duration::from_secs(5);
/// Most threads that are looked at in one drain.
const MAX_LOOKS: usize = 256;

/// Who knows which threads there are.
pub(crate) trait Threads {
    /// Whether that thread of that process (ids of the initial namespace) is still there; `true` where that cannot be
    /// known.
    fn is_there(&self, process: u32, thread: u32) -> bool;
}

/// A call in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    pub(super) record: u32,
    pub(super) device: u32,
    pub(super) command: u32,
    pub(super) age: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Flights {
    now: Vec<Flight>,
    /// By record, those that began before the last drain.
    old: HashMap<u32, u64>,
    /// Calls whose thread is gone: their thread and when they began.
    gone: HashSet<(u64, u64)>,
    counted: u64,
    drained: u64,
}

impl Flights {
    pub(super) fn read(&mut self, kernel: &mut dyn Kernel, threads: &dyn Threads) {
        let clock = kernel.now();
        let nanos = u64::try_from(clock.as_nanos()).unwrap_or(u64::MAX);
        let mut slots: Vec<Slot> = Vec::new();
        // One that is being filled holds another call's fields still.
        kernel.slots(&mut |slot| slots.extend((slot.began != 0).then_some(*slot)));
        let drained = std::mem::replace(&mut self.drained, nanos);
        self.now.clear();
        self.old.clear();
        let (mut looks, mut still_gone) = (0, HashSet::new());
        for slot in slots {
            let age = Duration::from_nanos(nanos.saturating_sub(slot.began));
            let call = (slot.owner, slot.began);
            let mut gone = self.gone.contains(&call);
            if !gone && age >= DOUBT && looks < MAX_LOOKS {
                looks += 1;
                gone = !threads.is_there((slot.owner >> 32) as u32, slot.owner as u32);
                self.counted += u64::from(gone);
                if gone {
                    kernel.release(&slot);
                }
            }
            if gone {
                still_gone.insert(call);
                continue;
            }
            if slot.began <= drained {
                *self.old.entry(slot.record).or_default() += 1;
            }
            self.now.push(Flight {
                record: slot.record,
                device: slot.device,
                command: slot.command,
                age,
            });
        }
        self.gone = still_gone;
    }

    /// Calls of that record that were in flight at the last drain and still are.
    pub(super) fn of_record(&self, record: u32) -> u64 {
        self.old.get(&record).copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.now.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    pub(super) fn take_gone(&mut self) -> u64 {
        std::mem::take(&mut self.counted)
    }
}
