//! Faults of accelerators that only the kernel's log tells: XIDs and SXids of NVIDIA, PCIe errors, hangs and resets of GPUs,
//! firmware and devices that do not answer.
//!
//! `/dev/kmsg` is read, never written, and nothing is read on a host without an accelerator. What a process has written into the
//! log carries a facility of its own (`Documentation/ABI/testing/dev-kmsg`) and is not taken for the kernel's.

#![forbid(unsafe_code)]

mod counts;
mod device;
mod devices;
mod explain;
mod fault;
mod key;
mod log;
mod pci;
mod reading;
mod recognise;
mod record;
mod sampler;
mod settings;
mod source;
mod table;
mod tally;

pub use self::log::{BATCH, MAX_RECORD_BYTES};
pub use self::sampler::Sampler;
pub use self::settings::Settings;
pub use self::source::SOURCE;
