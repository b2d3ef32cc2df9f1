//! From a file to its inode, device and name, and from the task to its executable.

use agent_ebpf::Offsets;

use super::{Known, KnownFile, TASK, View, nearest, only};

/// Bytes that are searched of a `struct file`, an `inode`, a `super_block`, a `dentry` and an `mm_struct`.
const FILE: u64 = 320;
const INODE: u64 = 512;
const SUPER: u64 = 64;
const DENTRY: u64 = 128;
const MM: u64 = 2048;

pub(super) fn find(view: &mut View<'_>, known: &Known, files: &[u64], offsets: &mut Offsets) {
    let all: Vec<_> = known.files.iter().zip(files.iter().copied()).collect();
    let simple: Vec<_> = all.iter().copied().filter(|(file, _)| file.simple).collect();
    if simple.is_empty() {
        return;
    }
    let mut inodes = Vec::new();
    for at in (0..FILE).step_by(8) {
        let Some(found) = followed(view, &all, at) else {
            continue;
        };
        let plain: Vec<_> = found.iter().copied().filter(|(file, _)| file.simple).collect();
        let device = step(4, |place| {
            each(&found, |file, inode| view.half(inode + place) == Some(file.device))
        });
        let mode = step(2, |place| {
            each(&found, |file, inode| view.quarter(inode + place) == Some(file.mode))
        });
        let number = step(8, |place| {
            each(&plain, |file, inode| view.word(inode + place) == Some(file.number))
        });
        if let (Some(device), Some(mode), Some(number)) = (only(device), only(mode), only(number)) {
            inodes.push((at, device, mode, number));
        }
    }
    if let Some((at, device, mode, number)) = only(inodes) {
        offsets.file_inode = at as u32;
        offsets.inode_rdev = device as u32;
        offsets.inode_mode = mode as u32;
        offsets.inode_ino = number as u32;
        superblock(view, &simple, at, offsets);
        executable(view, known, files, at, offsets);
    }
    name(view, &simple, offsets);
}

/// Of each item the address at an offset; nothing where one has none.
fn followed<'a>(view: &mut View<'_>, from: &[(&'a KnownFile, u64)], at: u64) -> Option<Vec<(&'a KnownFile, u64)>> {
    from.iter()
        .map(|(file, address)| Some((*file, view.pointer(address + at)?)))
        .collect()
}

fn each(of: &[(&KnownFile, u64)], mut holds: impl FnMut(&KnownFile, u64) -> bool) -> bool {
    of.iter().all(|(file, address)| holds(file, *address))
}

/// The places in an inode, by steps, where something holds.
fn step(by: usize, mut holds: impl FnMut(u64) -> bool) -> Vec<u64> {
    (0..INODE).step_by(by).filter(|place| holds(*place)).collect()
}

/// Several file systems are known, so that one number is not enough.
fn superblock(view: &mut View<'_>, files: &[(&KnownFile, u64)], inode: u64, offsets: &mut Offsets) {
    let unlike = files.iter().any(|(file, _)| file.system != files[0].0.system);
    let Some(inodes) = followed(view, files, inode).filter(|_| unlike) else {
        return;
    };
    let mut found = Vec::new();
    for at in (0..INODE).step_by(8) {
        let Some(systems) = followed(view, &inodes, at) else {
            continue;
        };
        for place in (0..SUPER).step_by(4) {
            if each(&systems, |file, system| view.half(system + place) == Some(file.system)) {
                found.push((at, place));
            }
        }
    }
    if let Some((at, place)) = only(found) {
        offsets.inode_sb = at as u32;
        offsets.sb_dev = place as u32;
    }
}

/// The executable's file is the kernel's own, but it has the inode of a file that the agent opened.
fn executable(view: &mut View<'_>, known: &Known, files: &[u64], inode: u64, offsets: &mut Offsets) {
    let Some(own) = known.executable.and_then(|index| files.get(index)).copied() else {
        return;
    };
    let Some(wanted) = view.pointer(own + inode) else {
        return;
    };
    let mut found = Vec::new();
    for at in (0..TASK).step_by(8) {
        // `mm` and `active_mm` stand side by side in all kernels, and are the same but for kernel threads.
        let Some(mm) = view.pointer(known.task + at) else {
            continue;
        };
        if view.pointer(known.task + at + 8) != Some(mm) {
            continue;
        }
        for place in (0..MM).step_by(8) {
            let Some(file) = view.pointer(mm + place).filter(|file| *file != own) else {
                continue;
            };
            if view.pointer(file + inode) == Some(wanted) {
                found.push((at, place));
            }
        }
    }
    if let Some((at, place)) = nearest(found, |(at, _)| *at) {
        offsets.task_mm = at as u32;
        offsets.mm_exe_file = place as u32;
    }
}

fn name(view: &mut View<'_>, files: &[(&KnownFile, u64)], offsets: &mut Offsets) {
    let mut found = Vec::new();
    for at in (0..FILE).step_by(8) {
        let Some(entries) = followed(view, files, at) else {
            continue;
        };
        for place in (0..DENTRY).step_by(8) {
            // A name may begin anywhere, so it is no `pointer`.
            if each(&entries, |file, entry| {
                view.word(entry + place)
                    .is_some_and(|text| text > 0xff << 56 && view.says(text, &file.name))
            }) {
                found.push((at, place));
            }
        }
    }
    if let Some((at, place)) = only(found) {
        offsets.file_dentry = at as u32;
        offsets.dentry_name = place as u32;
    }
}
