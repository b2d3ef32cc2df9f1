// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The tracepoints of all system calls, `sys_enter` and `sys_exit`: cheaper for an ioctl than its own tracepoints, dearer
//! for every other system call of the machine. Only on demand.
//!
//! A 32-bit process has system call numbers of its own; a call of it that has ioctl's number here, and a watched device's
//! descriptor in the right register, would be taken for an ioctl.

use agent_ebpf::HOOK_SYSCALL;
use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, raw_tracepoint},
    programs::{BtfTracePointContext, RawTracePointContext},
};

use crate::{
    call,
    flight::{Flight, InSlots, InTable},
    kernel::{Direct, Kernel, Probed},
    watched,
};

/// Number of ioctl(2), and where the `pt_regs` of a system call keep what is asked for here.
#[cfg(bpf_target_arch = "x86_64")]
mod layout {
    pub(super) const IOCTL: u32 = 16;
    pub(super) const NUMBER: u32 = 15 * 8;
    pub(super) const ARGUMENTS: [u32; 3] = [14 * 8, 13 * 8, 12 * 8];
}
#[cfg(bpf_target_arch = "aarch64")]
mod layout {
    pub(super) const IOCTL: u32 = 29;
    pub(super) const NUMBER: u32 = 35 * 8;
    pub(super) const ARGUMENTS: [u32; 3] = [0, 8, 16];
}

/// One of the two arguments of these tracepoints.
#[inline(always)]
fn argument(context: &impl EbpfContext, at: usize) -> u64 {
    // SAFETY: both tracepoints have two arguments, each a word of the context.
    unsafe { core::ptr::read_volatile(context.as_ptr().cast::<u64>().add(at)) }
}

#[inline(always)]
fn enter<K: Kernel, F: Flight>(context: &impl EbpfContext) -> i32 {
    if argument(context, 1) as u32 != layout::IOCTL {
        return 0;
    }
    let registers = argument(context, 0);
    let task = K::task();
    let descriptor = K::word(registers, layout::ARGUMENTS[0]) as u32;
    let Some(device) = watched::behind::<K>(task, descriptor, HOOK_SYSCALL) else {
        return 0;
    };
    let command = K::word(registers, layout::ARGUMENTS[1]) as u32;
    call::enter::<K, F>(task, &device, command, K::word(registers, layout::ARGUMENTS[2]));
    0
}

#[inline(always)]
fn leave<K: Kernel, F: Flight>(context: &impl EbpfContext) -> i32 {
    // Both architectures keep the number here as an int or a long; its lower half is the same.
    if K::half(argument(context, 0), layout::NUMBER) == layout::IOCTL {
        call::leave::<F>(argument(context, 1) as i64);
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
