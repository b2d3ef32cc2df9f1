// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Reading the kernel's structures, in two ways.

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};

use crate::maps::setting;

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
        // SAFETY: has no preconditions.
        unsafe { generated::bpf_get_current_task_btf() as u64 }
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
