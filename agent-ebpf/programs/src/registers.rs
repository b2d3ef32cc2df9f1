// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What the registers of a system call tell: its table, its number and its arguments.

use aya_ebpf::helpers::generated;

use crate::{
    kernel::{Kernel, trusted_task},
    maps::setting,
};

/// Numbers of ioctl(2), and where the `pt_regs` of a system call keep what is asked for here.
#[cfg(bpf_target_arch = "x86_64")]
mod layout {
    pub(super) const IOCTL: u32 = 16;
    /// Of the i386 table, for 32-bit programs and `int 0x80`.
    pub(super) const COMPAT_IOCTL: u32 = 54;
    /// Of x32 programs: `__X32_SYSCALL_BIT` and its place among their own.
    pub(super) const X32_IOCTL: u32 = 0x4000_0000 | 514;
    pub(crate) const NUMBER: u32 = 15 * 8;
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
    pub(crate) const NUMBER: u32 = 35 * 8;
    pub(super) const ARGUMENTS: [u32; 3] = [0, 8, 16];
    pub(super) const COMPAT_ARGUMENTS: [u32; 3] = ARGUMENTS;
}

pub(crate) use self::layout::NUMBER;

/// The table by which a system call is an ioctl. The same number means others in other tables: on x86 16 is `lchown` to a
/// 32-bit program, and 54 is `setsockopt` to a 64-bit one.
#[derive(Clone, Copy)]
pub(crate) enum Table {
    Own,
    Compat,
}

impl Table {
    /// That of the current task's system call of this number, if it is an ioctl.
    #[inline(always)]
    pub(crate) fn of<K: Kernel>(number: u32) -> Option<Self> {
        match number {
            layout::IOCTL | layout::X32_IOCTL => (!K::compat(K::task())).then_some(Self::Own),
            layout::COMPAT_IOCTL => K::compat(K::task()).then_some(Self::Compat),
            _ => None,
        }
    }

    /// Descriptor, command and argument.
    #[inline(always)]
    pub(crate) fn arguments<K: Kernel>(self, registers: u64) -> (u64, u64, u64) {
        // Both written out: the verifier wants constant offsets.
        match self {
            Self::Own => read::<K>(registers, layout::ARGUMENTS),
            Self::Compat => {
                let (descriptor, command, argument) = read::<K>(registers, layout::COMPAT_ARGUMENTS);
                (descriptor, command, argument & 0xffff_ffff)
            }
        }
    }
}

#[inline(always)]
fn read<K: Kernel>(registers: u64, at: [u32; 3]) -> (u64, u64, u64) {
    (
        K::word(registers, at[0]),
        K::word(registers, at[1]),
        K::word(registers, at[2]),
    )
}

/// The table of the current task's system call.
#[inline(always)]
pub(crate) fn table<K: Kernel>(task: u64) -> Table {
    if K::compat(task) { Table::Compat } else { Table::Own }
}

/// [`agent_ebpf::Slot::passed`] of the ioctl in which the current task is; nothing where it need not or cannot be known.
#[inline(always)]
pub(crate) fn passed<K: Kernel>() -> Option<u64> {
    if !K::TYPED || setting!(verify) != 1 {
        return None;
    }
    let task = trusted_task();
    // SAFETY: the task is the current one, whose type the verifier knows.
    let registers = unsafe { generated::bpf_task_pt_regs(task as *mut _) } as u64;
    let (_, command, argument) = table::<K>(task).arguments::<K>(registers);
    Some(agent_ebpf::passed(command as u32, argument))
}
