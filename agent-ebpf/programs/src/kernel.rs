//! Reading the kernel's structures, in two ways.

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};

/// A way to follow the kernel's pointers. Addresses are plain numbers; 0 is no address, and reading through it or at an
/// unknown offset gives 0.
pub(crate) trait Kernel {
    /// Address of the current `task_struct`.
    fn task() -> u64;
    /// The 8 bytes at an offset.
    fn word(base: u64, offset: u32) -> u64;
    /// The 4 bytes at an offset.
    fn half(base: u64, offset: u32) -> u32;
    /// The 2 bytes at an offset.
    fn quarter(base: u64, offset: u32) -> u16;
}

/// An offset that the agent did not find out.
const UNKNOWN: u32 = u32::MAX;

/// Loads through pointers whose type the verifier knows; a wrong address reads as 0. Only for what was reached from the
/// current task or a program's typed argument.
pub(crate) struct Direct;

impl Direct {
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

impl Kernel for Direct {
    #[inline(always)]
    fn task() -> u64 {
        // SAFETY: has no preconditions.
        unsafe { generated::bpf_get_current_task_btf() as u64 }
    }
    #[inline(always)]
    fn word(base: u64, offset: u32) -> u64 {
        Self::at(base, offset)
    }
    #[inline(always)]
    fn half(base: u64, offset: u32) -> u32 {
        Self::at(base, offset)
    }
    #[inline(always)]
    fn quarter(base: u64, offset: u32) -> u16 {
        Self::at(base, offset)
    }
}

/// Copies by a helper that checks every address.
pub(crate) struct Probed;

impl Probed {
    #[inline(always)]
    fn at<T: Copy + Default>(base: u64, offset: u32) -> T {
        if base == 0 || offset == UNKNOWN {
            return T::default();
        }
        // SAFETY: the helper checks the address and fails where it cannot be read.
        unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.unwrap_or_default()
    }
}

impl Kernel for Probed {
    #[inline(always)]
    fn task() -> u64 {
        // SAFETY: has no preconditions.
        unsafe { generated::bpf_get_current_task() }
    }
    #[inline(always)]
    fn word(base: u64, offset: u32) -> u64 {
        Self::at(base, offset)
    }
    #[inline(always)]
    fn half(base: u64, offset: u32) -> u32 {
        Self::at(base, offset)
    }
    #[inline(always)]
    fn quarter(base: u64, offset: u32) -> u16 {
        Self::at(base, offset)
    }
}
