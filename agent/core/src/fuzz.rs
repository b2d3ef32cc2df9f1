//! What the fuzz targets (`agent/fuzz`) call of what is private. Not part of the interface of this crate.

pub use crate::worker::fuzz::worker_messages;
