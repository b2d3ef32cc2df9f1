//! The sampler on directories that stand for hosts.

mod garbage;
mod host;
mod hwmon;
mod rapl;
pub(crate) mod stuck;
mod supplies;
