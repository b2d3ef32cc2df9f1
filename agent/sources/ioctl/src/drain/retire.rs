//! What has ended.

use std::time::{Duration, Instant};

use super::owner::ROOT;
use super::{Drain, KEEP, LINGER};
use crate::kernel::Kernel;
use accelscope_core::host::cgroups::{CgroupId, Cgroups, Hierarchy, State};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::CgroupOwner;

/// Drains without a change before a key may go.
const IDLE: u32 = 2;
/// How often somebody who does nothing is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The same of somebody without a key.
const LOOK_AGAIN_WITHOUT_KEY: Duration = Duration::from_mins(1);
/// How long a living owner keeps its keys without a call.
const UNUSED: Duration = Duration::from_secs(30);
/// Most of them that are looked at in one drain.
const MAX_LOOKS: usize = 128;

/// What became of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may act again.
    Lives,
    /// Nobody is there now, and somebody may come.
    Sleeps,
    /// It will not act again.
    Ended,
    /// It cannot be seen.
    Unknown,
}

impl Fate {
    /// Of an owner on this host.
    pub(crate) fn of(owner: &CgroupOwner, cgroups: &Cgroups, processes: &Processes) -> Self {
        let by_process = owner.process.filter(|_| owner.alone);
        if let Some(process) = by_process {
            return if processes.is_alive(process) {
                Self::Lives
            } else {
                Self::Ended
            };
        }
        let ids = [(Hierarchy::Unified, owner.unified), (Hierarchy::Legacy, owner.legacy)];
        let ids = ids.into_iter().filter(|(_, id)| *id > ROOT);
        let states: Vec<State> = ids
            .map(|(hierarchy, id)| cgroups.state(CgroupId { hierarchy, id }))
            .collect();
        if states.contains(&State::Gone) {
            Self::Ended
        } else if states.contains(&State::Populated) {
            // Of two groups one may be shared with others; that it is empty in the other tells more.
            if states.contains(&State::Empty) {
                Self::Sleeps
            } else {
                Self::Lives
            }
        } else if !states.is_empty() && states.iter().all(|state| *state == State::Empty) {
            Self::Sleeps
        } else {
            Self::Unknown
        }
    }
}

impl Drain {
    /// Gives up the keys of owners that have ended or made no call for a while, and forgets owners that ended long ago.
    /// Returns whether any was forgotten.
    ///
    /// A key that is given up is made anew by its next call, which is an event: without keys nothing has to be polled.
    pub(crate) fn retire(
        &mut self,
        kernel: &mut dyn Kernel,
        fate: &dyn Fn(&CgroupOwner) -> Fate,
        now: Instant,
    ) -> bool {
        let mut idle: Vec<_> = self
            .subjects
            .iter_mut()
            .filter(|(_, subject)| {
                let again = if subject.records > 0 {
                    LOOK_AGAIN
                } else {
                    LOOK_AGAIN_WITHOUT_KEY
                };
                subject.in_flight == 0
                    && subject.idle >= IDLE
                    && subject.looked.is_none_or(|looked| now.duration_since(looked) >= again)
            })
            .collect();
        idle.sort_by_key(|(_, subject)| subject.looked);
        let (mut leaving, mut forgotten) = (Vec::new(), Vec::new());
        for (key, subject) in idle.into_iter().take(MAX_LOOKS) {
            subject.looked = Some(now);
            let rested = now.duration_since(subject.changed);
            let fate = fate(&key.owner);
            let for_good = fate == Fate::Ended || (fate == Fate::Unknown && rested >= KEEP);
            if for_good || fate == Fate::Sleeps || rested >= UNUSED {
                leaving.push(key.clone());
            }
            if for_good && subject.records == 0 && rested >= LINGER {
                forgotten.push(key.clone());
            }
        }
        for (number, seen) in &mut self.seen {
            let in_flight = self.flights.iter().any(|flight| flight.record == *number);
            if seen.idle >= IDLE && !seen.retired && !in_flight && leaving.contains(&seen.subject) {
                seen.retired = true;
                kernel.retire(*number);
            }
        }
        for key in &forgotten {
            self.subjects.remove(key);
        }
        !forgotten.is_empty()
    }
}
