//! Hailo: the monitor files of HailoRT and the devices in sysfs.
//!
//! An application that was started with `HAILO_MONITOR=1` writes a file at every interval, a second by default. It is
//! read after each write. Nothing is locked, and no device node is opened.

#![forbid(unsafe_code)]

mod address;
mod allocation;
mod allowance;
mod budget;
pub mod catalogue;
mod combine;
mod decode;
mod device;
mod directory;
mod discover;
mod environment;
mod explain;
mod file_name;
mod files;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod hidden;
mod identity;
mod ids;
mod ioctl;
mod ioctl_catalogue;
pub mod key;
mod labels;
mod listing;
mod living;
mod monitored;
mod owner;
mod owners;
mod points;
mod probe;
mod proof;
mod reading;
mod rivals;
mod sampler;
mod settings;
mod skipped;
mod slot;
mod source;
mod sources;
mod state;
mod table;
mod trouble;
mod unshown;
mod values;
mod watch;

pub use self::address::hw_id;
pub use self::explain::explain;
pub use self::ioctl::FAMILY;
pub use self::sampler::Sampler;
pub use self::settings::Settings;
pub use self::source::SOURCE;
