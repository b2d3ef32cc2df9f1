// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The system call's own tracepoints, `syscalls:sys_enter_ioctl` and `syscalls:sys_exit_ioctl`. They do not fire for 32-bit
//! programs.

use agent_ebpf::{HOOK_SYSCALL, LEVEL_SYSCALL};
use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::{
    call,
    flight::{Flight, InSlots, InTable},
    kernel::{Direct, Kernel, Probed},
    registers, watched,
};

/// Places in the records, the same on every 64-bit kernel (`/sys/kernel/tracing/events/syscalls/sys_enter_ioctl/format`).
const DESCRIPTOR: usize = 16;
const COMMAND: usize = 24;
const ARGUMENT: usize = 32;
const RESULT: usize = 16;

#[inline(always)]
fn enter<K: Kernel, F: Flight>(context: &TracePointContext) -> u32 {
    let task = K::task();
    let Ok(descriptor) = read::<u64>(context, DESCRIPTOR) else {
        return 0;
    };
    let Some(device) = watched::behind::<K>(task, descriptor as u32, HOOK_SYSCALL) else {
        return 0;
    };
    if let (Ok(command), Ok(argument)) = (read::<u64>(context, COMMAND), read::<u64>(context, ARGUMENT)) {
        call::enter::<K, F>(task, &device, command as u32, argument, LEVEL_SYSCALL);
    }
    0
}

#[inline(always)]
fn leave<K: Kernel, F: Flight>(context: &TracePointContext) -> u32 {
    if let Ok(result) = read::<i64>(context, RESULT) {
        call::leave::<F>(result, LEVEL_SYSCALL, registers::passed::<K>());
    }
    0
}

/// A field of the record. A load from the context, not the helper that copies: the verifier knows the context's size.
#[inline(always)]
fn read<T: Copy>(context: &TracePointContext, at: usize) -> Result<T, ()> {
    use aya_ebpf::EbpfContext;
    // SAFETY: the record is longer than the fields read here, and aligned.
    Ok(unsafe { core::ptr::read_volatile(context.as_ptr().cast::<u8>().add(at).cast::<T>()) })
}

#[tracepoint]
fn ioctl_enter_direct(context: TracePointContext) -> u32 {
    enter::<Direct, InSlots>(&context)
}

#[tracepoint]
fn ioctl_exit_direct(context: TracePointContext) -> u32 {
    leave::<Direct, InSlots>(&context)
}

#[tracepoint]
fn ioctl_enter_probed(context: TracePointContext) -> u32 {
    enter::<Probed, InTable>(&context)
}

#[tracepoint]
fn ioctl_exit_probed(context: TracePointContext) -> u32 {
    leave::<Probed, InTable>(&context)
}
