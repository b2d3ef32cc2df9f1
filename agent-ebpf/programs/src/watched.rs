//! From a descriptor or a file to a watched device.

use agent_ebpf::{WATCHED_PROBES, Watched, watched_place};

use crate::{
    kernel::{Kernel, Probed},
    maps::{WATCHED, setting},
};

/// `S_IFMT` and `S_IFCHR` of `linux/stat.h`.
const FORMAT: u16 = 0o170_000;
const CHARACTER: u16 = 0o020_000;

/// The file behind a descriptor of the current task: a plain address, because no typed pointer leads through the table of
/// descriptors.
#[inline(always)]
pub(crate) fn file<K: Kernel>(task: u64, descriptor: u32) -> u64 {
    let files = K::word(task, setting!(offsets.task_files));
    let table = K::word(files, setting!(offsets.files_fdt));
    if descriptor >= K::half(table, setting!(offsets.fdt_max_fds)) {
        return 0;
    }
    let entries = K::word(table, setting!(offsets.fdt_fd));
    if entries == 0 {
        return 0;
    }
    Probed::word(entries + u64::from(descriptor) * 8, 0)
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
    (watched.hook == hook && character).then_some(watched)
}

#[inline(always)]
fn find(number: u32) -> Option<Watched> {
    for probe in 0..WATCHED_PROBES {
        let place = WATCHED.get(watched_place(number, probe))?;
        if place.number == number {
            return Some(*place);
        }
        if place.number == 0 {
            return None;
        }
    }
    None
}
