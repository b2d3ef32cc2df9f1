// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! From a descriptor or a file to a watched device.

use agent_ebpf::{WATCHED_PROBES, Watched, watched_place};

use crate::{
    kernel::{Direct, Kernel, Probed, UNKNOWN, read_only_cast},
    maps::{WATCHED, setting},
};

/// Stands for all hooks.
pub(crate) const ANY_HOOK: u32 = u32::MAX;

/// `S_IFMT` and `S_IFCHR` of `linux/stat.h`.
const FORMAT: u16 = 0o170_000;
const CHARACTER: u16 = 0o020_000;

/// Every table has at least as many entries as those that each `files_struct` has in itself: `NR_OPEN_DEFAULT` of
/// `linux/fdtable.h`, the bits of a long; `alloc_fdtable` of `fs/file.c` makes only larger ones.
const ALWAYS: u32 = 64;

/// The watched device behind a descriptor of the current task, if the asking hook is the one that covers it.
#[inline(always)]
pub(crate) fn behind<K: Kernel>(task: u64, descriptor: u32, hook: u32) -> Option<Watched> {
    let files = K::word(task, setting!(offsets.task_files));
    let table = K::word(files, setting!(offsets.files_fdt));
    if descriptor >= ALWAYS && descriptor >= K::half(table, setting!(offsets.fdt_max_fds)) {
        return None;
    }
    let entries = K::word(table, setting!(offsets.fdt_fd));
    if entries == 0 {
        return None;
    }
    let entry = entries + u64::from(descriptor) * 8;
    if K::TYPED && setting!(files_type) != 0 && setting!(offsets.files_fd_array) != UNKNOWN {
        device::<Direct>(typed(entry), hook)
    } else {
        // A plain address, also for direct programs: no typed pointer leads through the table.
        device::<Probed>(Probed::word(entry, 0), hook)
    }
}

/// The file at an entry of a table of descriptors, as a typed pointer: the entry is taken for the first of those that
/// every `files_struct` has in itself.
#[inline(always)]
fn typed(entry: u64) -> u64 {
    let first = setting!(offsets.files_fd_array);
    Direct::word(read_only_cast(entry - u64::from(first), setting!(files_type)), first)
}

/// The watched device that a file stands for, if the asking hook is the one that covers it.
#[inline(always)]
pub(crate) fn device<K: Kernel>(file: u64, hook: u32) -> Option<Watched> {
    let inode = K::word(file, setting!(offsets.file_inode));
    let number = K::half(inode, setting!(offsets.inode_rdev));
    if number == 0 {
        return None;
    }
    let watched = find(number)?;
    // Block devices have numbers of their own.
    let character = K::quarter(inode, setting!(offsets.inode_mode)) & FORMAT == CHARACTER;
    ((hook == ANY_HOOK || watched.hook == hook) && character).then_some(watched)
}

#[inline(always)]
fn find(number: u32) -> Option<Watched> {
    for probe in 0..WATCHED_PROBES {
        let place = WATCHED.at(watched_place(number, probe));
        // SAFETY: aligned fields of a place in the table. Volatile, because only the agent writes them; their number last.
        let at = unsafe { core::ptr::read_volatile(&raw const (*place).number) };
        if at == number {
            // SAFETY: as above.
            return Some(unsafe { core::ptr::read_volatile(place) });
        }
        if at == 0 {
            return None;
        }
    }
    None
}
