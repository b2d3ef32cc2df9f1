//! From a process to its container and pod, with nothing but what the node itself holds.

pub mod cgroup;
mod segment;
