//! NVIDIA: every GPU as its management library NVML tells of it.

mod nvml;
