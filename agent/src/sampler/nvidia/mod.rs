//! NVIDIA: every GPU as its management library NVML tells of it.

mod gpu;
mod nvml;
mod sheet;
mod topic;
mod topics;
