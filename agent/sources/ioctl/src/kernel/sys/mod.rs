//! System calls that neither aya 0.14 nor another crate in use offers.
//!
//! aya and aya-obj parse and relocate the object, create maps, access single elements of hash maps, arrays and queues, read
//! the ring buffer, and list what the kernel has loaded. What is done here, with the reason and the state upstream
//! (github.com/aya-rs/aya, November 2026):
//!
//! - Programs on functions of modules ([`load`] with a function, [`module_types`]): `FEntry::load` and `FExit::load` find
//!   functions in the kernel's own type information only, and drivers are modules. Issue 301 and pull request 1248, both
//!   open.
//! - Kretprobes with room for every thread ([`perf_tracepoint`]): `KProbe::attach` cannot set `maxactive`, so returns would
//!   be lost while many calls block. The probe is created in tracefs and attached by its number. No issue was found.
//! - All other programs ([`load`], [`raw_tracepoint`], [`perf_kprobe`]): aya's program types come from `EbpfLoader::load`
//!   only, which creates all maps itself, the data sections without `BPF_F_MMAPABLE`, and takes none from the caller
//!   (issue 46, open). Neither does it resolve calls of kernel functions, which direct programs need
//!   ([`agent_ebpf::cast`]; issue 432, open).
//! - Reading a hash map in batches ([`lookup_batch`]): aya needs two system calls for each element. Issue 1124, open.
//! - How often the kernel has skipped a program ([`skipped`]): `ProgramInfo` has no access to it. No issue was found.
//! - Freezing a map ([`initialise`]): aya does it in `EbpfLoader::load` only. No issue was found.
//!
//! For the same reasons the modules beside this one are not replaced by aya: [`super::mapped`] (aya maps ring buffers only;
//! pull request 1680, open, does it for arenas), [`super::btf`] and [`super::tracefs`], which name theirs.

mod call;
mod map;
mod module;
mod perf;
mod program;

pub(super) use self::map::{initialise, lookup_batch};
pub(super) use self::module::module_types;
pub(super) use self::perf::{perf_kprobe, perf_tracepoint, trigger_tracepoint};
pub(super) use self::program::{Load, LoadError, load, raw_tracepoint, skipped};
