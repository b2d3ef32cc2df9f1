// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Hooks on a driver's own `unlocked_ioctl(struct file *, unsigned int, unsigned long)`: nothing but its calls comes here.
//! For the calls of 32-bit programs a driver may have another function, `compat_ioctl`, which may or may not pass them on to
//! the first; the programs on it are called `compat`.

use agent_ebpf::{HOOK_DRIVER, LEVEL_COMPAT, LEVEL_FUNCTION};
use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    call,
    flight::{Flight, InSlots, InTable},
    kernel::{Direct, Kernel, Probed},
    watched,
};

/// `P` reads the file, which is typed or a plain address; `K` the current task.
#[inline(always)]
fn enter<P: Kernel, K: Kernel, F: Flight>(file: u64, command: u32, argument: u64, level: u32) -> u32 {
    if let Some(device) = watched::device::<P>(file, HOOK_DRIVER) {
        call::enter::<K, F>(K::task(), &device, command, argument, level);
    }
    0
}

#[inline(always)]
fn typed(context: &FEntryContext, level: u32) -> i32 {
    enter::<Direct, Direct, InSlots>(context.arg(0), context.arg::<u64>(1) as u32, context.arg(2), level) as i32
}

#[inline(always)]
fn probed<K: Kernel, F: Flight>(context: &ProbeContext, level: u32) -> u32 {
    let (Some(file), Some(command), Some(argument)) = (context.arg(0), context.arg::<u64>(1), context.arg(2)) else {
        return 0;
    };
    enter::<Probed, K, F>(file, command as u32, argument, level)
}

#[inline(always)]
fn leave<F: Flight>(result: i64, level: u32) -> u32 {
    call::leave::<F>(result, level);
    0
}

#[fentry]
fn hook_fentry(context: FEntryContext) -> i32 {
    typed(&context, LEVEL_FUNCTION)
}

#[fexit]
fn hook_fexit(context: FExitContext) -> i32 {
    leave::<InSlots>(context.arg(3), LEVEL_FUNCTION) as i32
}

#[fentry]
fn compat_fentry(context: FEntryContext) -> i32 {
    typed(&context, LEVEL_COMPAT)
}

#[fexit]
fn compat_fexit(context: FExitContext) -> i32 {
    leave::<InSlots>(context.arg(3), LEVEL_COMPAT) as i32
}

#[kprobe]
fn hook_kprobe_direct(context: ProbeContext) -> u32 {
    probed::<Direct, InSlots>(&context, LEVEL_FUNCTION)
}

#[kretprobe]
fn hook_kretprobe_direct(context: RetProbeContext) -> u32 {
    leave::<InSlots>(context.ret(), LEVEL_FUNCTION)
}

#[kprobe]
fn hook_kprobe_probed(context: ProbeContext) -> u32 {
    probed::<Probed, InTable>(&context, LEVEL_FUNCTION)
}

#[kretprobe]
fn hook_kretprobe_probed(context: RetProbeContext) -> u32 {
    leave::<InTable>(context.ret(), LEVEL_FUNCTION)
}

#[kprobe]
fn compat_kprobe_direct(context: ProbeContext) -> u32 {
    probed::<Direct, InSlots>(&context, LEVEL_COMPAT)
}

#[kretprobe]
fn compat_kretprobe_direct(context: RetProbeContext) -> u32 {
    leave::<InSlots>(context.ret(), LEVEL_COMPAT)
}

#[kprobe]
fn compat_kprobe_probed(context: ProbeContext) -> u32 {
    probed::<Probed, InTable>(&context, LEVEL_COMPAT)
}

#[kretprobe]
fn compat_kretprobe_probed(context: RetProbeContext) -> u32 {
    leave::<InTable>(context.ret(), LEVEL_COMPAT)
}
