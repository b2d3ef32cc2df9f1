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
    watched,
};

/// Numbers of ioctl(2), and where the `pt_regs` of a system call keep what is asked for here.
#[cfg(bpf_target_arch = "x86_64")]
mod layout {
    pub(super) const IOCTL: u32 = 16;
    /// Of the i386 table, for 32-bit programs and `int 0x80`.
    pub(super) const COMPAT_IOCTL: u32 = 54;
    /// Of x32 programs: `__X32_SYSCALL_BIT` and its place among their own.
    pub(super) const X32_IOCTL: u32 = 0x4000_0000 | 514;
    pub(super) const NUMBER: u32 = 15 * 8;
    pub(super) const ARGUMENTS: [u32; 3] = [14 * 8, 13 * 8, 12 * 8];
    pub(super) const COMPAT_ARGUMENTS: [u32; 3] = [5 * 8, 11 * 8, 12 * 8];
}
#[cfg(bpf_target_arch = "aarch64")]
mod layout {
    pub(super) const IOCTL: u32 = 29;
    /// Of the table for 32-bit (EABI) programs.
    pub(super) const COMPAT_IOCTL: u32 = 54;
    /// There are none.
    pub(super) const X32_IOCTL: u32 = 0xffff_fffe;
    pub(super) const NUMBER: u32 = 35 * 8;
    pub(super) const ARGUMENTS: [u32; 3] = [0, 8, 16];
    pub(super) const COMPAT_ARGUMENTS: [u32; 3] = ARGUMENTS;
}

/// By which of the tables a system call is an ioctl, if it is one. The same number means others to other programs: 16 is
/// `lchown` to a 32-bit one on x86, 54 is `setsockopt` to a 64-bit one.
#[inline(always)]
fn table<K: Kernel>(task: impl Fn() -> u64, number: u32) -> Option<Table> {
    match number {
        layout::IOCTL | layout::X32_IOCTL => (!K::compat(task())).then_some(Table::Own),
        layout::COMPAT_IOCTL => K::compat(task()).then_some(Table::Compat),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Table {
    Own,
    Compat,
}

/// One of the two arguments of these tracepoints.
#[inline(always)]
fn argument(context: &impl EbpfContext, at: usize) -> u64 {
    // SAFETY: both tracepoints have two arguments, each a word of the context.
    unsafe { core::ptr::read_volatile(context.as_ptr().cast::<u64>().add(at)) }
}

#[inline(always)]
fn enter<K: Kernel, F: Flight>(context: &impl EbpfContext) -> i32 {
    let Some(table) = table::<K>(K::task, argument(context, 1) as u32) else {
        return 0;
    };
    let (registers, task) = (argument(context, 0), K::task());
    // Copied, not chosen by address: the verifier wants constant offsets.
    let (descriptor, command, argument) = match table {
        Table::Own => read::<K>(registers, layout::ARGUMENTS),
        Table::Compat => {
            let (descriptor, command, argument) = read::<K>(registers, layout::COMPAT_ARGUMENTS);
            (descriptor, command, argument & u64::from(u32::MAX))
        }
    };
    if let Some(device) = watched::behind::<K>(task, descriptor as u32, HOOK_SYSCALL) {
        call::enter::<K, F>(task, &device, command as u32, argument, LEVEL_SYSCALL);
    }
    0
}

#[inline(always)]
fn read<K: Kernel>(registers: u64, at: [u32; 3]) -> (u64, u64, u64) {
    (
        K::word(registers, at[0]),
        K::word(registers, at[1]),
        K::word(registers, at[2]),
    )
}

#[inline(always)]
fn leave<K: Kernel, F: Flight>(context: &impl EbpfContext) -> i32 {
    // Both architectures keep the number here as an int or a long; its lower half is the same.
    let result = argument(context, 1) as i64;
    match table::<K>(K::task, K::half(argument(context, 0), layout::NUMBER)) {
        Some(Table::Own) => call::leave::<F>(result, LEVEL_SYSCALL),
        // Perhaps without the upper half of its sign.
        Some(Table::Compat) => call::leave::<F>(i64::from(result as i32), LEVEL_SYSCALL),
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
