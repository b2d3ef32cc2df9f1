//! Energy, power and sensors of the node, as the kernel has them in sysfs.
//!
//! RAPL through powercap (`/sys/class/powercap`), hardware monitoring (`/sys/class/hwmon`), thermal zones
//! (`/sys/class/thermal`), batteries and mains (`/sys/class/power_supply`). RAPL is read on the sampler's thread; everything
//! else, where a read may take seconds or not return, on a thread that can be left behind.

#![forbid(unsafe_code)]

mod apart;
mod attribute;
mod catalogue;
mod explain;
mod hwmon;
mod identity;
mod key;
mod meter;
mod now;
mod numbers;
mod quantity;
mod rapl;
mod reason;
mod sampler;
mod sensors;
mod settings;
mod source;
mod supply;
mod table;
#[cfg(test)]
mod tests;
mod thermal;
mod unanswered;

pub use self::settings::Settings;
pub use self::source::SOURCE;
