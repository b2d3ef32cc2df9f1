//! Commands on maps.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya_obj::generated::bpf_cmd;

use super::super::plain::Plain;
use super::call::{bpf, empty};

/// Sets the only value of an array, and with `freeze` forbids user space to write it from then on, so that the verifier
/// takes it for constant.
///
/// # Errors
/// `InvalidInput` if `value` has not the size of the array's values.
pub(in super::super) fn initialise(map: BorrowedFd<'_>, value: &[u8], value_size: u32, freeze: bool) -> io::Result<()> {
    if value.len() != value_size as usize {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let key = 0_u32;
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let element = unsafe { &mut attributes.__bindgen_anon_2 };
    element.map_fd = map.as_raw_fd() as u32;
    element.key = &raw const key as u64;
    element.__bindgen_anon_1.value = value.as_ptr() as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attributes)?;
    if freeze {
        let mut attributes = empty();
        // SAFETY: the member of this command.
        unsafe { &mut attributes.__bindgen_anon_2 }.map_fd = map.as_raw_fd() as u32;
        bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attributes)?;
    }
    Ok(())
}

/// Part of a hash map's elements.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Batch {
    /// How many elements were read.
    pub(in super::super) count: usize,
    /// Where the next batch starts; nothing after the last.
    pub(in super::super) next: Option<u32>,
}

/// Reads the elements of a hash map from `start`, as many as there is room for (Linux 5.6). `K` and `V` must have the sizes
/// of the map's keys and values, which [`Table`](super::super::table::Table) guarantees.
///
/// # Errors
/// `ENOSPC` if one bucket holds more than there is room for.
pub(in super::super) fn lookup_batch<K: Plain, V: Plain>(
    map: BorrowedFd<'_>,
    start: Option<u32>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<Batch> {
    let room = keys.len().min(values.len());
    let mut next = 0_u32;
    let mut attributes = empty();
    // SAFETY: the member of this command.
    let batch = unsafe { &mut attributes.batch };
    batch.map_fd = map.as_raw_fd() as u32;
    batch.in_batch = start.as_ref().map_or(0, |start| &raw const *start as u64);
    batch.out_batch = &raw mut next as u64;
    batch.keys = keys.as_mut_ptr() as u64;
    batch.values = values.as_mut_ptr() as u64;
    batch.count = room as u32;
    let result = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attributes);
    // SAFETY: the member of this command, into which the kernel wrote.
    let count = (unsafe { attributes.batch.count } as usize).min(room);
    match result {
        Ok(_) => Ok(Batch {
            count,
            next: Some(next),
        }),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Batch { count, next: None }),
        Err(error) => Err(error),
    }
}
