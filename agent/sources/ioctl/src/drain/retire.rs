//! Owners that have ended, and keys that are not used.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{ActivityKey, Drain, KEEP, LINGER, owner};
use crate::device_table::DeviceTable;
use crate::kernel::Counts;
use accelscope_core::host::cgroups::{Cgroups, State};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::CgroupOwner;

/// Drains without growth before a key may be given up.
const IDLE: u32 = 2;
/// Time without a call after which a living owner's keys are given up.
const UNUSED: Duration = Duration::from_secs(30);
/// The same in drains, for owners without totals of their own.
const UNUSED_DRAINS: u32 = 30;
/// Time between two checks of an owner that makes no call.
const CHECK: Duration = Duration::from_secs(5);
/// The same of an owner without a key.
const CHECK_WITHOUT_KEY: Duration = Duration::from_mins(1);
/// Most owners that are checked in one drain.
const MAX_CHECKS: usize = 128;

/// State of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// Processes are there.
    Alive,
    /// No process is there, but there may be one again.
    Empty,
    /// There will be no process again.
    Ended,
    /// Not visible from here.
    Unknown,
}

impl OwnerState {
    pub(crate) fn of(owner: &CgroupOwner, cgroups: &Cgroups, processes: &Processes) -> Self {
        if let Some(process) = owner.process.filter(|_| owner.alone) {
            return if processes.is_alive(process) {
                Self::Alive
            } else {
                Self::Ended
            };
        }
        let states: Vec<State> = owner::groups(owner.unified, owner.legacy)
            .map(|id| cgroups.state(id))
            .collect();
        let (populated, empty) = (states.contains(&State::Populated), states.contains(&State::Empty));
        if states.contains(&State::Gone) {
            Self::Ended
        } else if populated && !empty {
            Self::Alive
        } else if populated || (empty && states.iter().all(|state| *state == State::Empty)) {
            // Of two groups one may be shared with other owners: the empty one is decisive.
            Self::Empty
        } else if owner.process.is_some_and(|process| !processes.is_alive(process)) {
            // Nothing is visible of its groups. If it has another process, that one's next call brings it back.
            Self::Ended
        } else {
            Self::Unknown
        }
    }
}

impl Drain {
    /// Gives up the keys of owners and devices that have ended, and of owners that made no call for a while. Forgets the
    /// totals of what ended long ago; returns whether there were any.
    ///
    /// The next call after a key was retired recreates it, which is an event: without keys nothing has to be polled.
    pub(crate) fn retire(
        &mut self,
        counts: &mut dyn Counts,
        devices: &DeviceTable,
        state: &dyn Fn(&CgroupOwner) -> OwnerState,
        now: Instant,
    ) -> bool {
        let due = |checked: Option<Instant>, records: usize| {
            let pause = if records > 0 { CHECK } else { CHECK_WITHOUT_KEY };
            checked.is_none_or(|checked| now.duration_since(checked) >= pause)
        };
        let mut idle: Vec<_> = self
            .activities
            .iter_mut()
            .filter(|(_, one)| one.in_flight == 0 && one.changed < now && due(one.checked, one.records))
            .collect();
        idle.sort_by_key(|(_, activity)| activity.checked);
        let (mut unused, mut forgotten) = (HashSet::new(), HashSet::new());
        for (key, activity) in idle.into_iter().take(MAX_CHECKS) {
            activity.checked = Some(now);
            let rested = now.duration_since(activity.changed);
            let state = state(&key.owner);
            let ended = state == OwnerState::Ended || (state == OwnerState::Unknown && rested >= KEEP);
            if ended || state == OwnerState::Empty || rested >= UNUSED {
                unused.insert(key.clone());
            }
            if ended && activity.records == 0 && rested >= LINGER {
                forgotten.insert(key.clone());
            }
        }
        // What is kept of a device that is gone ends at a time, and without it no owner has to be looked at.
        for (key, activity) in self.activities.iter().filter(|(_, one)| one.in_flight == 0) {
            let Some(since) = devices.gone_since(key.device) else {
                continue;
            };
            if activity.records > 0 {
                unused.insert(key.clone());
            } else if now.duration_since(since) >= LINGER {
                forgotten.insert(key.clone());
            }
        }
        self.retire_records(counts, &unused, state);
        for key in &forgotten {
            self.activities.remove(key);
        }
        !forgotten.is_empty()
    }

    /// Gives up the keys of these activities, and those of owners without totals of their own that have ended or make no
    /// call: of them the activity that they share tells nothing.
    fn retire_records(
        &mut self,
        counts: &mut dyn Counts,
        unused: &HashSet<ActivityKey>,
        state: &dyn Fn(&CgroupOwner) -> OwnerState,
    ) {
        if unused.is_empty() && self.crowded_out.is_empty() {
            return;
        }
        let in_flight = self.in_flight.records();
        let crowded_out = &self.crowded_out;
        let mut checks = 0;
        for (number, record) in &mut self.records {
            if record.idle < IDLE || record.retired || in_flight.contains(number) {
                continue;
            }
            let goes = unused.contains(&record.activity)
                || crowded_out.get(number).is_some_and(|wanted| {
                    checks += 1;
                    checks <= MAX_CHECKS
                        && (record.idle >= UNUSED_DRAINS
                            || matches!(state(&wanted.owner), OwnerState::Ended | OwnerState::Empty))
                });
            if goes {
                record.retired = true;
                counts.retire(*number);
            }
        }
    }
}
