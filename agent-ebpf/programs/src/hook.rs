// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Hooks on a driver's own `unlocked_ioctl(struct file *, unsigned int, unsigned long)`: nothing but its calls comes here.

use agent_ebpf::{HOOK_DRIVER, LEVEL_FUNCTION, passed};
use aya_ebpf::{
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};

use crate::{
    call,
    flight::{Flight, InSlots, InTable},
    kernel::{Direct, Kernel, Probed},
    maps::setting,
    registers, watched,
};

/// `P` reads the file, which is typed or a plain address; `K` the current task.
#[inline(always)]
fn enter<P: Kernel, K: Kernel, F: Flight>(file: u64, command: u32, argument: u64) -> u32 {
    if let Some(device) = watched::device::<P>(file, HOOK_DRIVER) {
        call::enter::<K, F>(K::task(), &device, command, argument, LEVEL_FUNCTION);
    }
    0
}

#[inline(always)]
fn probed<K: Kernel, F: Flight>(context: &ProbeContext) -> u32 {
    let (Some(file), Some(command), Some(argument)) = (context.arg(0), context.arg::<u64>(1), context.arg(2)) else {
        return 0;
    };
    enter::<Probed, K, F>(file, command as u32, argument)
}

#[inline(always)]
fn leave<K: Kernel, F: Flight>(context: &RetProbeContext) -> u32 {
    call::leave::<F>(context.ret(), LEVEL_FUNCTION, registers::passed::<K>());
    0
}

#[fentry]
fn hook_fentry(context: FEntryContext) -> i32 {
    enter::<Direct, Direct, InSlots>(context.arg(0), context.arg::<u64>(1) as u32, context.arg(2)) as i32
}

#[fexit]
fn hook_fexit(context: FExitContext) -> i32 {
    let passed = (setting!(verify) == 1).then(|| passed(context.arg::<u64>(1) as u32, context.arg(2)));
    call::leave::<InSlots>(context.arg(3), LEVEL_FUNCTION, passed);
    0
}

#[kprobe]
fn hook_kprobe_direct(context: ProbeContext) -> u32 {
    probed::<Direct, InSlots>(&context)
}

#[kretprobe]
fn hook_kretprobe_direct(context: RetProbeContext) -> u32 {
    leave::<Direct, InSlots>(&context)
}

#[kprobe]
fn hook_kprobe_probed(context: ProbeContext) -> u32 {
    probed::<Probed, InTable>(&context)
}

#[kretprobe]
fn hook_kretprobe_probed(context: RetProbeContext) -> u32 {
    leave::<Probed, InTable>(&context)
}
