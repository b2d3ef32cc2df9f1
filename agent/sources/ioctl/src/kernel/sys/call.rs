//! The system call bpf(2).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Executes a command of bpf(2).
pub(super) fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: every caller in this folder fills the attributes of its command, with addresses and lengths of live buffers;
    // the size is the union's own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attributes,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Attributes of zeros.
pub(super) fn empty() -> bpf_attr {
    // SAFETY: all members are plain numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// The descriptor that a system call has just returned.
pub(super) fn owned(descriptor: i64) -> OwnedFd {
    // SAFETY: only called with what a system call just returned as a new descriptor, which has no other owner.
    unsafe { OwnedFd::from_raw_fd(descriptor as i32) }
}
