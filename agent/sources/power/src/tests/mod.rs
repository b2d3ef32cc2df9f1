//! The sampler on directories that stand for hosts.

mod drivers;
mod garbage;
mod host;
mod hwmon;
mod parts;
mod rapl;
mod states;
pub(crate) mod stuck;
mod supplies;
mod turnover;
