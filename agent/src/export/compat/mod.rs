//! The replaced tools' endpoints as views over the same model, each on a listener of its own, off by default.

pub mod hailo_exporter;
