// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The table of watched devices.

/// Places in the global array `WATCHED` ([`crate::GLOBAL`]); a power of two.
pub const WATCHED_PLACES: u32 = 1024;
/// Places that are tried for one device number.
pub const WATCHED_PROBES: u32 = 8;
/// Most devices that are watched at a time, so that places are found without trying long.
pub const DEVICES: u32 = 256;
/// [`Watched::number`] of a place whose device is watched no longer; the search goes on behind it.
pub const WATCHED_GONE: u32 = u32::MAX;

/// Covered by the system call's hooks.
pub const HOOK_SYSCALL: u32 = 0;
/// Covered by hooks on its driver's own function.
pub const HOOK_DRIVER: u32 = 1;

/// [`Watched::arguments`] of NVIDIA's control and GPU nodes: the argument of [`crate::NVIDIA_TRANSFER`] holds the command.
pub const NVIDIA: u32 = u32::MAX;

/// A watched device. Value of the array `WATCHED`, a hash table with open addressing: the first of
/// [`watched_place`]`(number, 0..WATCHED_PROBES)` that holds the number; a place with number 0 ends the search. The agent
/// writes the other fields first and the number last.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watched {
    /// Its device number in the kernel's encoding (major << 20 | minor); 0: free, [`WATCHED_GONE`]: no longer watched.
    pub number: u32,
    /// Its place in the agent's list; part of keys, never reused while a record names it.
    pub device: u32,
    /// What its calls' arguments tell: which Hailo layouts apply (the first half of [`crate::HailoKey`]), [`NVIDIA`], or
    /// nothing (0).
    pub arguments: u32,
    /// Which hook covers it: [`HOOK_SYSCALL`] or [`HOOK_DRIVER`]; programs of the other pass its calls by.
    pub hook: u32,
}

/// The place that is tried for a device number after `probe` others.
#[inline]
pub const fn watched_place(number: u32, probe: u32) -> u32 {
    // Fibonacci hashing: the neighbouring numbers of one driver's nodes spread evenly.
    (number.wrapping_mul(0x9E37_79B1) >> (32 - WATCHED_PLACES.trailing_zeros())).wrapping_add(probe)
        & (WATCHED_PLACES - 1)
}
