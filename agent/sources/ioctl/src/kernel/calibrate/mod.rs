//! Offsets of kernel structures where the kernel has no type information: the agent reads its own task from kernel memory
//! and searches it for values that it knows from user space ([`Reference`]).
//!
//! Each offset is the only one at which all reference values are found; where there is none, or more than one, the offset
//! stays unknown.

mod cache;
mod cgroup;
mod descriptor;
mod file;
mod reader;
mod reference;
mod search;
mod task;

use std::io;
use std::time::Duration;

use agent_ebpf::Offsets;

use self::cache::{Memory, MemoryCache};
pub(super) use self::reader::KernelReader;
use self::reference::Reference;
pub(super) use self::reference::{gather, wait_for_ticks};

/// All offsets that are found without ambiguity.
pub(super) fn calibrate(memory: &mut dyn Memory, reference: &Reference) -> Offsets {
    let mut cache = MemoryCache::new(memory);
    let mut offsets = Offsets::UNKNOWN;
    task::find(&mut cache, reference, &mut offsets);
    let files = descriptor::find(&mut cache, reference, &mut offsets);
    file::find(&mut cache, reference, &files, &mut offsets);
    cgroup::find(&mut cache, reference, &mut offsets);
    offsets
}

/// Searches before an offset counts as unknown.
const SEARCHES: u32 = 3;
/// Time between two of them: more than a tick of 10 ms.
const PAUSE: Duration = Duration::from_millis(15);

/// Repeats a search that does not find what changing values can make ambiguous (Linux 6.12, `include/linux/sched.h` and
/// `cgroup-defs.h`):
///
/// - `css_set.mg_dst_cgrp` is a second group beside the task's own while any process moves tasks out of it;
/// - `sched_info.last_arrival` and `last_queued` are the task's start time until it has been scheduled a second time.
pub(super) fn repeated(mut search: impl FnMut() -> io::Result<Offsets>) -> io::Result<Offsets> {
    let mut found = search()?;
    for _ in 1..SEARCHES {
        if ![found.cgroup_kn, found.task_started].contains(&u32::MAX) {
            break;
        }
        std::thread::sleep(PAUSE);
        found = search()?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
