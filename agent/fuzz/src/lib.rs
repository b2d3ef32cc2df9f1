//! What several fuzz targets need.

#![forbid(unsafe_code)]

pub mod node;

use std::path::{Path, PathBuf};

/// Where files of an input are written: in memory, where there is such a place.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
