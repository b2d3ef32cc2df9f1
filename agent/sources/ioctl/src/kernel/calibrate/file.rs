//! From a file to its inode, device and name, and from the task to its executable.

use agent_ebpf::Offsets;

use super::cache::MemoryCache;
use super::reference::{OPENED, Reference, ReferenceFile};
use super::search::{TASK, behind_pointers, followed, nearest_to_start, unique};

/// Bytes that are searched of a `struct file`, an `inode`, a `dentry` and an `mm_struct`.
const FILE: u64 = 320;
const INODE: u64 = 512;
const DENTRY: u64 = 128;
const MM: u64 = 2048;

pub(super) fn find(cache: &mut MemoryCache<'_>, reference: &Reference, files: &[u64], offsets: &mut Offsets) {
    let all: Vec<_> = reference.files.iter().zip(files.iter().copied()).collect();
    let simple: Vec<_> = all.iter().copied().filter(|(file, _)| file.simple).collect();
    if simple.is_empty() {
        return;
    }
    let mut modes = (0..FILE).step_by(4).filter(|place| {
        each(&all, |file, address| {
            cache.u32_at(address + place).map(|mode| mode & OPENED) == Some(file.opened)
        })
    });
    if let Some(mode) = unique(&mut modes) {
        offsets.file_mode = mode as u32;
    }
    let mut inodes = Vec::new();
    for at in (0..FILE).step_by(8) {
        let Some(found) = followed(cache, &all, at) else {
            continue;
        };
        let plain: Vec<_> = found.iter().copied().filter(|(file, _)| file.simple).collect();
        let device = step(4, |place| {
            each(&found, |file, inode| cache.u32_at(inode + place) == Some(file.device))
        });
        let mode = step(2, |place| {
            each(&found, |file, inode| cache.u16_at(inode + place) == Some(file.mode))
        });
        let number = step(8, |place| {
            each(&plain, |file, inode| cache.u64_at(inode + place) == Some(file.number))
        });
        if let (Some(device), Some(mode), Some(_)) = (unique(device), unique(mode), unique(number)) {
            inodes.push((at, device, mode));
        }
    }
    if let Some((at, device, mode)) = unique(inodes) {
        offsets.file_inode = at as u32;
        offsets.inode_rdev = device as u32;
        offsets.inode_mode = mode as u32;
        executable(cache, reference, files, at, offsets);
    }
    name(cache, &simple, offsets);
}

fn each(of: &[(&ReferenceFile, u64)], mut holds: impl FnMut(&ReferenceFile, u64) -> bool) -> bool {
    of.iter().all(|(file, address)| holds(file, *address))
}

/// The offsets in an inode, in steps, for which something holds.
fn step(by: usize, mut holds: impl FnMut(u64) -> bool) -> Vec<u64> {
    (0..INODE).step_by(by).filter(|place| holds(*place)).collect()
}

/// The executable's `struct file` belongs to the kernel, but has the same inode as a file that the agent opened.
fn executable(cache: &mut MemoryCache<'_>, reference: &Reference, files: &[u64], inode: u64, offsets: &mut Offsets) {
    let Some(own) = reference.executable.and_then(|index| files.get(index)).copied() else {
        return;
    };
    let Some(wanted) = cache.pointer(own + inode) else {
        return;
    };
    let mut found = Vec::new();
    for at in (0..TASK).step_by(8) {
        // `mm` and `active_mm` are adjacent in all kernels, and equal except in kernel threads.
        let Some(mm) = cache.pointer(reference.task + at) else {
            continue;
        };
        if cache.pointer(reference.task + at + 8) != Some(mm) {
            continue;
        }
        for place in (0..MM).step_by(8) {
            let Some(file) = cache.pointer(mm + place).filter(|file| *file != own) else {
                continue;
            };
            if cache.pointer(file + inode) == Some(wanted) {
                found.push((at, place));
            }
        }
    }
    if let Some((at, place)) = nearest_to_start(found, |(at, _)| *at) {
        offsets.task_mm = at as u32;
        offsets.mm_exe_file = place as u32;
    }
}

fn name(cache: &mut MemoryCache<'_>, files: &[(&ReferenceFile, u64)], offsets: &mut Offsets) {
    // A name need not be aligned, as `pointer` requires.
    let found = behind_pointers(cache, files, FILE, (DENTRY, 8), |cache, file, name| {
        cache
            .unaligned_pointer(name)
            .is_some_and(|text| cache.has_string(text, &file.name))
    });
    if let Some((at, place)) = unique(found) {
        offsets.file_dentry = at as u32;
        offsets.dentry_name = place as u32;
    }
}
