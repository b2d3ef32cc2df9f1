//! From a process to its container and pod, with nothing but what the node itself holds.

mod bundle;
mod cgroup_owners;
pub mod container;
mod containers;
mod engine;
mod json;
mod logs;
mod lookup;
mod resolution;
mod resolve;

pub use lookup::{find_container, name_sources};
pub use resolution::Resolution;
pub use resolve::{Attribution, Settings};
