//! The sampler on directories that stand for hosts.

mod garbage;
mod host;
mod hwmon;
mod rapl;
mod stuck;
mod supplies;
