// SPDX-License-Identifier: Apache-2.0

//! The prebuilt programs of this architecture.

/// Bytes at an address that fits every field of an ELF file.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);

#[cfg(target_arch = "x86_64")]
static PROGRAMS: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/agent.x86_64.o"));
#[cfg(target_arch = "aarch64")]
static PROGRAMS: &Aligned<[u8]> = &Aligned(*include_bytes!("../prebuilt/agent.aarch64.o"));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static PROGRAMS: &Aligned<[u8]> = &Aligned([]);

/// The ELF object with all programs and maps, as `cargo xtask build-ebpf` wrote it; empty on an architecture that has none.
pub static OBJECT: &[u8] = &PROGRAMS.0;
