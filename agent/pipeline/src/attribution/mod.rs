//! From a process to its container and pod, with nothing but what the node itself holds.

mod cgroup_owners;
pub mod container;
mod containers;
mod engines;
mod logs;
mod nameless;
mod resolution;
mod resolve;
mod within;

pub use engines::Engines;
pub use resolution::{Resolution, Resolved};
pub use resolve::{Attribution, Settings};
