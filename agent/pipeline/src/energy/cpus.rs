//! Shares of processors and memory, by CPU time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::cgroup::Cgroup;
use accelscope_core::energy::Idle;
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::{CpuTimes, Look};
use accelscope_core::metric::{Attributes, Owner};

use super::ledger::{Share, Shares};
use crate::attribution::{Attribution, Resolution};

const METHOD: &str = "cpu_time";

/// Limit in bytes of the list of processors.
const MAX_BYTES: usize = 4096;

/// Most owners that are told apart, those that have used most: their names are kept.
const MAX_OWNERS: usize = 1024;

/// CPU time of the host's control groups.
#[derive(Debug)]
pub(super) struct Cpus {
    roots: HostRoots,
    times: CpuTimes,
    left_out: u64,
}

impl Cpus {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            times: CpuTimes::new(roots),
            left_out: 0,
        }
    }

    /// Owners and groups beyond the bounds, at the last call: what they used is nobody's, or of what is around them.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Each owner's share since the last call. One whose names are still looked for has his part among those of nobody.
    pub(super) fn shares(&mut self, idle: Idle, attribution: &mut Attribution, now: Instant) -> Shares {
        let mut look = self.times.look(now);
        let whole = self.whole(&look, idle);
        let beyond = look.owners.len().saturating_sub(MAX_OWNERS);
        self.left_out = look.left_out + beyond as u64;
        if beyond > 0 {
            look.owners.sort_by_key(|one| std::cmp::Reverse(one.time));
            look.owners.truncate(MAX_OWNERS);
        }
        let mut by_owner: HashMap<Arc<Attributes>, Share> = HashMap::with_capacity(look.owners.len());
        for one in look.owners {
            let Resolution::Known(resolved) = attribution.resolve(&Owner::Within(Arc::clone(&one.cgroup)), now) else {
                continue;
            };
            let part = whole.map_or(0.0, |whole| one.time.as_secs_f64() / whole.as_secs_f64());
            let who = resolved.as_set();
            let share = by_owner.entry(Arc::clone(&who)).or_insert_with(|| Share {
                who,
                outermost: resolved.outermost.clone(),
                part: 0.0,
                is_shown: is_innermost(&one.cgroup),
            });
            share.part += part;
        }
        Shares {
            method: METHOD,
            shares: by_owner.into_values().collect(),
        }
    }

    /// The time that the shares are of: that of all processors, idle or not, or that which was used.
    fn whole(&self, look: &Look, idle: Idle) -> Option<Duration> {
        let elapsed = look.elapsed?;
        let used = || look.owners.iter().map(|one| one.time).sum::<Duration>();
        let whole = match idle {
            Idle::Unattributed => elapsed * processors(&self.roots),
            Idle::Proportional => look.all.unwrap_or_default().max(used()),
        };
        (!whole.is_zero()).then_some(whole)
    }
}

/// Whether processes run in it: those of a pod are in its containers.
fn is_innermost(cgroup: &Cgroup) -> bool {
    cgroup.container().is_some() || cgroup.pod_uid.is_none()
}

/// How many processors are online, by the kernel's list such as `0-3,8`.
fn processors(roots: &HostRoots) -> u32 {
    let list = roots
        .read("/sys/devices/system/cpu/online", MAX_BYTES)
        .unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)?.saturating_add(1))
    });
    let count = ranges.fold(0u32, u32::saturating_add);
    if count > 0 {
        return count;
    }
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}
