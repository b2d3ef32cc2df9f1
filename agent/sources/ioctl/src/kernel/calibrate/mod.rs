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

/// Searches on a new thread, so that the task is not the leader of its group. Repeats it on another one while something is
/// missing that may be ambiguous for a single task or for a moment (Linux 6.12, `include/linux/sched.h`, `cgroup-defs.h`):
///
/// - the next task in memory may have been started in the same tick;
/// - `sched_info.last_arrival` and `last_queued` are the task's start time until it has been scheduled a second time;
/// - `css_set.mg_dst_cgrp` is a second group beside the task's own while any process moves tasks out of it.
pub(super) fn repeated(mut search: impl FnMut() -> io::Result<Offsets> + Send) -> io::Result<Offsets> {
    let mut found = Offsets::UNKNOWN;
    for _ in 0..SEARCHES {
        found = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("calibrate".to_owned());
            let joined = thread.spawn_scoped(scope, &mut search)?.join();
            joined.unwrap_or_else(|_| Err(io::Error::other("the search failed")))
        })?;
        if ![found.cgroup_kn, found.task_started].contains(&u32::MAX) {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
