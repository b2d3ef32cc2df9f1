//! The host itself: CPU time, load, memory, swap, uptime and pressure, on request also disks, file systems and network.
//!
//! Everything is read from files of the kernel in `/proc` and `/sys`; names are those of the `system.*` semantic conventions.

#![forbid(unsafe_code)]

mod catalogue;
mod counters;
mod cpu;
mod disks;
mod explain;
mod filesystems;
mod info;
mod kept;
mod key;
mod load;
mod memory;
mod mounted;
mod network;
mod os_release;
mod parse;
mod pressure;
mod readings;
mod sampler;
mod settings;
mod source;
mod table;
#[cfg(test)]
mod testing;
mod topology;
mod total;

pub use self::sampler::Sampler;
pub use self::settings::Settings;
pub use self::source::SOURCE;
