//! Offsets without type information: the agent looks at its own task in the kernel and searches for what it knows.
//!
//! It knows much: which devices its descriptors are, inode numbers, names, its process id, when it started, its control
//! groups. Each offset is one at which all of several known values stand, and the only such one; where there is none, or
//! more than one, the offset stays unknown.

mod cgroup;
mod descriptor;
mod file;
mod known;
mod peek;
mod task;
mod view;

use agent_ebpf::Offsets;

pub(super) use self::known::{Known, KnownFile};
pub(super) use self::known::{gather, wait_for_ticks};
pub(super) use self::peek::Peeker;
pub(super) use self::view::{Memory, View};

/// Bytes of a `task_struct` that are searched; with everything switched on it has some 14,000. Behind a smaller one there
/// are other tasks, which is why the [`nearest`] way is taken.
const TASK: u64 = 16 << 10;

/// Everything that can be found for sure.
pub(super) fn calibrate(memory: &mut dyn Memory, known: &Known) -> Offsets {
    let mut view = View::new(memory);
    let mut offsets = Offsets::UNKNOWN;
    task::find(&mut view, known, &mut offsets);
    let files = descriptor::find(&mut view, known, &mut offsets);
    file::find(&mut view, known, &files, &mut offsets);
    cgroup::find(&mut view, known, &mut offsets);
    offsets
}

/// The only item; nothing where there are several unlike ones.
fn only<T: PartialEq>(found: impl IntoIterator<Item = T>) -> Option<T> {
    let mut found = found.into_iter();
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The only one of those that begin nearest to the beginning of the task.
fn nearest<T: PartialEq>(found: Vec<T>, at: impl Fn(&T) -> u64) -> Option<T> {
    let first = found.iter().map(&at).min()?;
    only(found.into_iter().filter(|way| at(way) == first))
}

#[cfg(test)]
mod tests;
