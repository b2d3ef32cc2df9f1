// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Reading the kernel's structures, in two ways.

use agent_ebpf::{PROCESSORS, cast};
use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};

use crate::{
    atomic::{load, store},
    maps::{CURRENT, setting},
};

/// A way to follow the kernel's pointers. Addresses are plain numbers; 0 is no address, and reading through it or at an
/// unknown offset gives 0.
pub(crate) trait Kernel {
    /// Whether the verifier must know what every address points to.
    const TYPED: bool;
    /// Address of the current `task_struct`.
    fn task() -> u64;
    /// Its process id (upper half) and thread id in the initial namespace.
    fn pid_tgid(task: u64) -> u64;
    /// Id of its control group in the unified hierarchy.
    fn cgroup(task: u64) -> u64;
    /// What stands at an offset.
    fn at<T: Copy + Default>(base: u64, offset: u32) -> T;
    /// Whether the current task is in a system call of a 32-bit program, which has numbers and registers of its own; also
    /// one that a 64-bit program makes by `int 0x80`.
    #[inline(always)]
    fn compat(task: u64) -> bool {
        // `TS_COMPAT` of `asm/thread_info.h`.
        #[cfg(bpf_target_arch = "x86_64")]
        return Self::half(task, setting!(offsets.task_compat)) & 2 != 0;
        // `TIF_32BIT`.
        #[cfg(bpf_target_arch = "aarch64")]
        return Self::word(task, setting!(offsets.task_compat)) >> 22 & 1 != 0;
    }
    /// The 8 bytes at an offset.
    #[inline(always)]
    fn word(base: u64, offset: u32) -> u64 {
        Self::at(base, offset)
    }
    /// The 4 bytes at an offset.
    #[inline(always)]
    fn half(base: u64, offset: u32) -> u32 {
        Self::at(base, offset)
    }
    /// The 2 bytes at an offset.
    #[inline(always)]
    fn quarter(base: u64, offset: u32) -> u16 {
        Self::at(base, offset)
    }
}

/// An offset that the agent did not find out.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// Loads through pointers whose type the verifier knows; a wrong address reads as 0. Only for what was reached from the
/// current task or a program's typed argument.
pub(crate) struct Direct;

impl Kernel for Direct {
    const TYPED: bool = true;
    #[inline(always)]
    fn task() -> u64 {
        match loaded_task() {
            // SAFETY: has no preconditions.
            0 => unsafe { generated::bpf_get_current_task_btf() as u64 },
            task => task,
        }
    }
    #[inline(always)]
    fn pid_tgid(task: u64) -> u64 {
        if setting!(offsets.task_pid) == UNKNOWN || setting!(offsets.task_tgid) == UNKNOWN {
            return Probed::pid_tgid(task);
        }
        let tgid = Self::half(task, setting!(offsets.task_tgid));
        u64::from(tgid) << 32 | u64::from(Self::half(task, setting!(offsets.task_pid)))
    }
    #[inline(always)]
    fn cgroup(task: u64) -> u64 {
        if setting!(offsets.css_set_default) == UNKNOWN || setting!(offsets.kn_id) == UNKNOWN {
            return Probed::cgroup(task);
        }
        let set = Self::word(task, setting!(offsets.task_cgroups));
        let group = Self::word(set, setting!(offsets.css_set_default));
        Self::word(Self::word(group, setting!(offsets.cgroup_kn)), setting!(offsets.kn_id))
    }
    #[inline(always)]
    fn at<T: Copy + Default>(base: u64, offset: u32) -> T {
        if base == 0 || offset == UNKNOWN {
            return T::default();
        }
        // SAFETY: the verifier proved that `base` points to a kernel structure that has a field of this size at the
        // offset, else the program does not load; the kernel handles a fault of such a load.
        unsafe { core::ptr::read_volatile((base + u64::from(offset)) as *const T) }
    }
}

impl Direct {
    /// Process id (upper half) and thread id of the current task.
    #[inline(always)]
    pub(crate) fn caller() -> u64 {
        match loaded_task() {
            // SAFETY: has no preconditions.
            0 => unsafe { generated::bpf_get_current_pid_tgid() },
            task => Self::pid_tgid(task),
        }
    }
}

/// The current task from the processor's variable; 0 where that is not known, or not yet ([`cast`]).
#[inline(always)]
fn loaded_task() -> u64 {
    if setting!(current.holder) == 0 {
        return 0;
    }
    let processor = processor();
    if processor >= PROCESSORS {
        return 0;
    }
    let known = CURRENT.at(processor);
    let address = load(known);
    if address > NOT_THERE {
        return Direct::word(read_only_cast(address, setting!(current.holder)), 0);
    }
    if address == 0 {
        learn(known);
    }
    0
}

/// Instead of an address: the variable is not where it should be.
const NOT_THERE: u64 = 1;

/// Not inlined: it is rare. Its own name, because the compiler's would hold a hash of the folder in which this was built.
#[inline(never)]
#[unsafe(no_mangle)]
fn learn(known: *mut u64) {
    let task = Probed::task();
    let queue = Probed::word(task, setting!(current.task_queue));
    let processors = Probed::word(queue, setting!(current.queue_processors));
    let address = processors.wrapping_add(setting!(current.distance) as i32 as u64);
    let is_there = processors != 0 && Probed::word(address, 0) == task;
    store(known, if is_there { address } else { NOT_THERE });
}

/// The current processor. No program leaves it before its end.
#[inline(always)]
pub(crate) fn processor() -> u32 {
    // SAFETY: has no preconditions.
    unsafe { generated::bpf_get_smp_processor_id() }
}

/// Gives an address a type for the verifier, by its number in the kernel's BTF.
#[inline(always)]
pub(crate) fn read_only_cast(address: u64, of: u32) -> u64 {
    // SAFETY: no helper has this number; it stands for `bpf_rdonly_cast`, which takes any address and reads nothing. Where
    // it was not replaced, the verifier drops the branch.
    let function: extern "C" fn(u64, u32) -> u64 =
        unsafe { core::mem::transmute::<usize, extern "C" fn(u64, u32) -> u64>(cast::PLACEHOLDER as usize) };
    function(address, of)
}

/// Copies by a helper that checks every address.
pub(crate) struct Probed;

impl Kernel for Probed {
    const TYPED: bool = false;
    #[inline(always)]
    fn task() -> u64 {
        // SAFETY: has no preconditions.
        unsafe { generated::bpf_get_current_task() }
    }
    #[inline(always)]
    fn pid_tgid(_: u64) -> u64 {
        // SAFETY: has no preconditions.
        unsafe { generated::bpf_get_current_pid_tgid() }
    }
    #[inline(always)]
    fn cgroup(_: u64) -> u64 {
        // SAFETY: has no preconditions.
        unsafe { generated::bpf_get_current_cgroup_id() }
    }
    #[inline(always)]
    fn at<T: Copy + Default>(base: u64, offset: u32) -> T {
        if base == 0 || offset == UNKNOWN {
            return T::default();
        }
        // SAFETY: the helper checks the address and fails where it cannot be read.
        unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.unwrap_or_default()
    }
}
