// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The tracepoints of all system calls, `sys_enter` and `sys_exit`: cheaper for an ioctl than its own tracepoints, dearer
//! for every other system call of the machine. They run with preemption disabled, so no other task on the processor can keep
//! them from running; they fire for 32-bit programs as well, which have system call numbers and registers of their own.

use agent_ebpf::{HOOK_SYSCALL, LEVEL_SYSCALL};
use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};

use crate::{
    call,
    flight::{Flight, InSlots, InTable},
    kernel::{Direct, Kernel, Probed},
    registers::{NUMBER, Table},
    watched,
};

/// One of the two arguments of these tracepoints.
#[inline(always)]
fn argument(context: &impl EbpfContext, at: usize) -> u64 {
    // SAFETY: both tracepoints have two arguments, each a word of the context.
    unsafe { core::ptr::read_volatile(context.as_ptr().cast::<u64>().add(at)) }
}

#[inline(always)]
fn enter<K: Kernel, F: Flight>(context: &impl EbpfContext) -> i32 {
    let Some(table) = Table::of::<K>(argument(context, 1) as u32) else {
        return 0;
    };
    let task = K::task();
    let (descriptor, command, argument) = table.arguments::<K>(argument(context, 0));
    if let Some(device) = watched::behind::<K>(task, descriptor as u32, HOOK_SYSCALL) {
        call::enter::<K, F>(task, &device, command as u32, argument, LEVEL_SYSCALL);
    }
    0
}

#[inline(always)]
fn leave<K: Kernel, F: Flight>(context: &impl EbpfContext) -> i32 {
    // Both architectures keep the number here as an int or a long; its lower half is the same.
    let result = argument(context, 1) as i64;
    match Table::of::<K>(K::half(argument(context, 0), NUMBER)) {
        Some(Table::Own) => call::leave::<F>(result, LEVEL_SYSCALL, None),
        // Perhaps without the upper half of its sign.
        Some(Table::Compat) => call::leave::<F>(i64::from(result as i32), LEVEL_SYSCALL, None),
        None => {}
    }
    0
}

#[btf_tracepoint(function = "sys_enter")]
fn raw_enter_direct(context: BtfTracePointContext) -> i32 {
    enter::<Direct, InSlots>(&context)
}

#[btf_tracepoint(function = "sys_exit")]
fn raw_exit_direct(context: BtfTracePointContext) -> i32 {
    leave::<Direct, InSlots>(&context)
}

#[raw_tracepoint(tracepoint = "sys_enter")]
fn raw_enter_probed(context: RawTracePointContext) -> i32 {
    enter::<Probed, InTable>(&context)
}

#[raw_tracepoint(tracepoint = "sys_exit")]
fn raw_exit_probed(context: RawTracePointContext) -> i32 {
    leave::<Probed, InTable>(&context)
}
