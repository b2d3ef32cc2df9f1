//! The simulator behind `agent --stdout --demo`.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::SimulateError;
use super::fleet::Fleet;
use super::options::Options;

const PROCESSES: u32 = 3;

/// A running simulation in a private temporary folder: three processes with two networks each on two devices, with a
/// varying load. Dropping it ends the writers and removes the folder; if the program is killed instead, the writers
/// end all the same and only the empty folder stays.
pub struct Demo {
    // Before the folder, because fields are dropped in this order.
    _fleet: Fleet,
    dir: PathBuf,
    _folder: TempDir,
}

impl Demo {
    /// Starts it. The first files appear after a second, as with the runtime.
    ///
    /// The calling executable is started again with [`WRITER_ARGS`](super::WRITER_ARGS) as its arguments.
    pub fn start() -> Result<Self, SimulateError> {
        let folder = tempfile::Builder::new()
            .prefix("accelscope-demo-")
            .tempdir()
            .map_err(|source| SimulateError::Directory {
                path: std::env::temp_dir(),
                source,
            })?;
        let dir = folder.path().join("hmon_files");
        let options = Options {
            dir: dir.clone(),
            processes: PROCESSES,
            devices: 2,
            vary: true,
            ..Options::default()
        };
        Ok(Self {
            _fleet: Fleet::start(options)?,
            dir,
            _folder: folder,
        })
    }

    /// Whether every process has written its first file.
    pub fn has_written(&self) -> bool {
        let Ok(files) = std::fs::read_dir(&self.dir) else {
            return false;
        };
        let complete = |file: &std::fs::DirEntry| {
            let temporary = file.path().extension().is_some_and(|extension| extension == "tmp");
            !temporary && file.metadata().is_ok_and(|metadata| metadata.len() > 0)
        };
        files.flatten().filter(complete).count() >= PROCESSES as usize
    }

    /// Where the monitor files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
