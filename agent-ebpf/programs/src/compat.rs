// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Hooks on the kernel's function for ioctl(2) of 32-bit programs: `__ia32_compat_sys_ioctl(const struct pt_regs *)` and its
//! like. They accompany the hooks on drivers' functions, because a driver may handle such calls in others
//! (`compat_ioctl`), and the tracepoints of the system call, which do not fire for them. Nothing else comes here.

use agent_ebpf::LEVEL_COMPAT;
use aya_ebpf::{
    macros::{kprobe, kretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::{
    call,
    flight::{Flight, InSlots, InTable},
    kernel::{Direct, Kernel, Probed},
    registers, watched,
};

#[inline(always)]
fn enter<K: Kernel, F: Flight>(context: &ProbeContext) -> u32 {
    let Some(at) = context.arg(0) else { return 0 };
    let task = K::task();
    let (descriptor, command, argument) = registers::table::<K>(task).arguments::<Probed>(at);
    if let Some(device) = watched::behind::<K>(task, descriptor as u32, watched::ANY_HOOK) {
        call::enter::<K, F>(task, &device, command as u32, argument, LEVEL_COMPAT);
    }
    0
}

#[inline(always)]
fn leave<K: Kernel, F: Flight>(context: &RetProbeContext) -> u32 {
    // Perhaps without the upper half of its sign.
    let result = i64::from(context.ret::<i64>() as i32);
    call::leave::<F>(result, LEVEL_COMPAT, registers::passed::<K>());
    0
}

#[kprobe]
fn compat_kprobe_direct(context: ProbeContext) -> u32 {
    enter::<Direct, InSlots>(&context)
}

#[kretprobe]
fn compat_kretprobe_direct(context: RetProbeContext) -> u32 {
    leave::<Direct, InSlots>(&context)
}

#[kprobe]
fn compat_kprobe_probed(context: ProbeContext) -> u32 {
    enter::<Probed, InTable>(&context)
}

#[kretprobe]
fn compat_kretprobe_probed(context: RetProbeContext) -> u32 {
    leave::<Probed, InTable>(&context)
}
