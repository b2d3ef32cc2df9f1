//! Views of the series in the formats of the replaced tools, each with a listener of its own, off by default.

mod exposition;
pub mod gpu_process_exporter;
mod gpus;
pub mod hailo_exporter;
mod host;
pub mod names;
#[cfg(feature = "k8s-annotation")]
pub mod node_annotation;
pub mod system_info_exporter;
pub mod textfile;
