//! From the task to the files behind its descriptors.

use agent_ebpf::Offsets;

use super::cache::MemoryCache;
use super::reference::Reference;
use super::search::{TASK, nearest_to_start};

/// Words of a `files_struct` and of an `fdtable` that are searched.
const FILES: u64 = 160;
const TABLE: u64 = 64;

/// Addresses of the reference files, in their order; empty where the path to them was not found.
pub(super) fn find(cache: &mut MemoryCache<'_>, reference: &Reference, offsets: &mut Offsets) -> Vec<u64> {
    let mut ways = Vec::new();
    for task_files in (0..TASK).step_by(8) {
        let Some(files) = cache.pointer(reference.task + task_files) else {
            continue;
        };
        for files_fdt in (0..FILES).step_by(8) {
            let Some(table) = cache.pointer(files + files_fdt) else {
                continue;
            };
            for fdt_fd in (0..TABLE).step_by(8) {
                let Some(entries) = cache.pointer(table + fdt_fd) else {
                    continue;
                };
                let Some(open) = open(cache, reference, entries) else {
                    continue;
                };
                // In all kernels, the table begins with the number of entries.
                if !is_size(cache.u32_at(table), reference) {
                    continue;
                }
                ways.push(([task_files, files_fdt, fdt_fd], files, entries, open));
            }
        }
    }
    let Some(([task_files, files_fdt, fdt_fd], files, entries, open)) = nearest_to_start(ways, |(way, ..)| way[0])
    else {
        return Vec::new();
    };
    offsets.task_files = task_files as u32;
    offsets.files_fdt = files_fdt as u32;
    offsets.fdt_fd = fdt_fd as u32;
    offsets.fdt_max_fds = 0;
    // The first entries are part of the structure until more are needed.
    if let Some(within) = entries.checked_sub(files).filter(|within| *within < 1024) {
        offsets.files_fd_array = within as u32;
    }
    open
}

/// The files, if this can be the array of entries: a duplicate descriptor has the same file as its original, all other
/// descriptors have different files.
fn open(cache: &mut MemoryCache<'_>, reference: &Reference, entries: u64) -> Option<Vec<u64>> {
    let mut files = Vec::new();
    for file in &reference.files {
        files.push(cache.pointer(entries.checked_add(8 * u64::from(file.descriptor))?)?);
    }
    let plain = reference
        .files
        .iter()
        .enumerate()
        .filter(|(_, file)| file.duplicate_of.is_none());
    let mut own: Vec<u64> = plain.map(|(index, _)| files[index]).collect();
    own.sort_unstable();
    let duplicates = reference
        .files
        .iter()
        .zip(&files)
        .filter_map(|(file, address)| Some((file.duplicate_of?, *address)))
        .all(|(original, address)| files[original] == address);
    (own.windows(2).all(|pair| pair[0] != pair[1]) && duplicates).then_some(files)
}

/// Whether that may be the number of entries: more than the highest descriptor, and a multiple of 64.
fn is_size(size: Option<u32>, reference: &Reference) -> bool {
    let highest = reference.files.iter().map(|file| file.descriptor).max().unwrap_or(0);
    size.is_some_and(|size| size > highest && size <= 1 << 30 && size % 64 == 0)
}
