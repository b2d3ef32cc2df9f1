// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! Atomic operations on values in maps. The compiler's eBPF target declares none, because older kernels have only the
//! plain add; so the intrinsics are called, which its back end knows.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd};

use crate::maps::COUNTERS;

/// Adds to a value. Relaxed and without the former value: then the compiler emits the plain atomic add that every kernel
/// has, not the fetching one of Linux 5.12.
#[inline(always)]
pub(crate) fn add(value: *mut u64, by: u64) {
    // SAFETY: callers pass an aligned field of a map's value, which lives as long as the program runs, and which
    // everybody changes by atomic operations only.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(value, by) };
}

/// The same for 32 bits.
#[inline(always)]
pub(crate) fn add_half(value: *mut u32, by: u32) {
    // SAFETY: as in `add`.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(value, by) };
}

/// Reads a value that others change: one load, which the processor does not tear.
#[inline(always)]
pub(crate) fn load(value: *const u64) -> u64 {
    // SAFETY: as in `add`.
    unsafe { core::ptr::read_volatile(value) }
}

/// Writes a value that others read: one store.
#[inline(always)]
pub(crate) fn store(value: *mut u64, to: u64) {
    // SAFETY: as in `add`.
    unsafe { core::ptr::write_volatile(value, to) };
}

/// Replaces 0 by a value; whether it was 0. Needs Linux 5.12.
#[inline(always)]
pub(crate) fn claim(value: *mut u64, with: u64) -> bool {
    // SAFETY: as in `add`.
    unsafe { atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(value, 0, with) }.1
}

/// Adds one to one of the [`agent_ebpf::counter`]s.
#[inline(always)]
pub(crate) fn note(counter: u32) {
    add(COUNTERS.at(counter), 1);
}
