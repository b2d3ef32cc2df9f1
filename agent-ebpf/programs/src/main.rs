// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The eBPF programs: who calls ioctl(2) on a watched device, how often, how long, and with which result.
//!
//! The maps are described in the library beside this crate; the agent sizes and fills them at load.
//!
//! The way of a call:
//!
//! 1. *Entry*: the file is resolved to a device number and looked up in `WATCHED`; whatever is not watched, or watched by
//!    another hook, ends here. The caller's [`agent_ebpf::Key`] is made and its number looked up in `INDEX`; the first call
//!    of a key takes a free number from `FREE`, describes itself in `IDENTS` and tells the agent through `EVENTS`. The call
//!    is counted in `RECORDS` and put down as in flight.
//! 2. *Return*: what the thread put down is taken up; duration, result and what the arguments told join the record. A call
//!    that a signal interrupted stays until it is known whether the kernel restarts it ([`mod@signal`]).
//!
//! Every pair of programs exists twice. *Direct* programs follow the current task's pointers by loads that the verifier
//! checks against the kernel's BTF, and claim a place in the array `SLOTS` by compare-and-exchange (Linux 5.12, BTF).
//! *Probed* ones copy each pointer with a helper and use the hash map `OVERFLOW` (Linux 5.8, offsets from anywhere). Both
//! are the same code over two traits, [`kernel::Kernel`] and [`flight::Flight`].
//!
//! Whatever user memory says is chosen by the caller: sizes are bounded before they are used, loops have constant bounds,
//! and what is told counts only after the driver accepted the call.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "atomic operations, see `atomic`")]

mod atomic;
mod call;
mod caller;
mod cgroup;
mod compat;
mod flight;
mod hailo;
mod hook;
mod kernel;
mod maps;
mod nvidia;
mod peek;
mod raw;
mod record;
mod registers;
mod signal;
mod tracepoint;
mod watched;

/// Never reached: the programs have no operation that panics; the linker drops it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Helpers that read kernel memory are for programs under a licence compatible with the GPL, which Apache-2.0 alone is not
/// (version 2). The programs are under either of these two: `LICENSE.md`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
