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

#[cfg(test)]
mod tests;
