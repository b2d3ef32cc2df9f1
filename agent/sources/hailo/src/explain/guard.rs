//! Examines monitor directories on threads, since a file system may not answer: then nothing is known of that directory, and the
//! others are examined all the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::files::Files;
use super::{fail, warn};
use crate::living::Living;
use crate::slot::REMEDY;
use accelscope_core::host::HostRoots;
use accelscope_core::host::callers::Callers;
use accelscope_core::sampler::Finding;

/// Time for each directory, for all that do not answer, and for each when that is over.
const PATIENCE: Duration = Duration::from_secs(5);
const ALL_PATIENCE: Duration = Duration::from_secs(10);
const LEAST_PATIENCE: Duration = Duration::from_millis(200);
/// Most directories that do not answer.
const MAX_HUNG: usize = 256;

/// What is known, and the threads that examine.
pub(super) struct Guard {
    pub(super) files: Files,
    living: Living,
    /// Numbers of the Hailo devices.
    devices: BTreeSet<u64>,
    callers: Callers,
    left: Duration,
}

impl Guard {
    pub(super) fn new(roots: &HostRoots, files: Files, devices: BTreeSet<u64>) -> Self {
        Self {
            files,
            living: Living::new(roots),
            devices,
            callers: Callers::new("doctor-files", MAX_HUNG),
            left: ALL_PATIENCE,
        }
    }

    /// Examines the directory of that path.
    pub(super) fn examine(
        &mut self,
        place: &Path,
        found: &mut Vec<Finding>,
        examine: impl FnOnce(&mut Files, &mut Living, &mut Vec<Finding>) + Send + 'static,
    ) {
        let (mut files, mut living) = (self.files.clone(), self.living.another());
        living.forget();
        living.proofs.devices.clone_from(&self.devices);
        let call = self.callers.start(move || {
            let mut found = Vec::new();
            examine(&mut files, &mut living, &mut found);
            (files, found)
        });
        let patience = PATIENCE.min(self.left).max(LEAST_PATIENCE);
        match call.map(|call| call.wait(Instant::now() + patience)) {
            Ok(Some((files, more))) => {
                self.files = files;
                found.extend(more);
            }
            Ok(None) => {
                self.left = self.left.saturating_sub(patience);
                let seconds = patience.as_secs_f64();
                let what = format!("{} did not answer within {seconds:.1} s", place.display());
                found.push(fail(what, REMEDY));
            }
            Err(error) => {
                let remedy = "look at what keeps it from starting a thread (`ulimit -u`, pids.max)";
                found.push(warn(format!("{} was not examined: {error}", place.display()), remedy));
            }
        }
    }
}
