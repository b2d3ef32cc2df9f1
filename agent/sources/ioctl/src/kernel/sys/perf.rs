//! Perf events that run a program.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::generated::{PERF_FLAG_FD_CLOEXEC, perf_event_attr, perf_type_id};

use super::call::owned;

/// Runs a program at each tracepoint of that number, on all processors, until the descriptor is closed.
pub(in super::super) fn perf_tracepoint(id: u64, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = disabled();
    attributes.type_ = perf_type_id::PERF_TYPE_TRACEPOINT as u32;
    attributes.config = id;
    open(&mut attributes, program)
}

/// Runs a program at each entry of a kernel function. `kind` is the number in
/// `/sys/bus/event_source/devices/kprobe/type`.
pub(in super::super) fn perf_kprobe(kind: u32, symbol: &CStr, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attributes = disabled();
    attributes.type_ = kind;
    attributes.__bindgen_anon_3.kprobe_func = symbol.as_ptr() as u64;
    open(&mut attributes, program)
}

fn disabled() -> perf_event_attr {
    // SAFETY: all members are plain numbers, for which zero is a value.
    let mut attributes: perf_event_attr = unsafe { std::mem::zeroed() };
    attributes.size = size_of::<perf_event_attr>() as u32;
    attributes.set_disabled(1);
    attributes
}

fn open(attributes: &mut perf_event_attr, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const ENABLE: libc::c_ulong = 0x2400;
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    // SAFETY: the attributes are initialised and outlive the call, as do strings that they point to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw mut *attributes,
            -1,
            0,
            -1,
            libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let event = owned(result);
    for (request, argument) in [(SET_BPF, program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: requests of perf_event_open(2) that take a number.
        if unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// Calls ioctl(2) without a descriptor, for a program that reads the argument.
pub(in super::super) fn trigger_tracepoint(argument: u64) {
    // SAFETY: there is no descriptor -1, so nothing is done with the argument.
    let _refused = unsafe { libc::ioctl(-1, 0, argument) };
}
