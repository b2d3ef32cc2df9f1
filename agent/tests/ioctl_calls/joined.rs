//! Control groups of one process, in several hierarchies.

use std::path::{Path, PathBuf};

use crate::group_support;

/// Removed at the end, those that this made.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    joined: Vec<PathBuf>,
    made: Vec<PathBuf>,
}

impl Groups {
    /// Adds a group of that hierarchy, if groups can be made in it.
    pub(crate) fn add(&mut self, hierarchy: &str, path: &str) -> bool {
        let mut group = Path::new("/sys/fs/cgroup").join(hierarchy);
        if !group.join("cgroup.procs").exists() {
            return false;
        }
        // Not the machine's own groups of those names, nor another test's.
        let top = format!("accelscope-test-{}", std::process::id());
        for name in [&*top].into_iter().chain(path.split('/')) {
            group.push(name);
            match std::fs::create_dir(&group) {
                Ok(()) => self.made.push(group.clone()),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(_) => return false,
            }
            if hierarchy == "cpuset" {
                // A new group has no processors, and takes no process.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let above = std::fs::read(group.with_file_name(file)).unwrap_or_default();
                    std::fs::write(group.join(file), above).ok();
                }
            }
        }
        self.joined.push(group);
        true
    }

    /// All that the process is to join, separated by commas.
    pub(crate) fn list(&self) -> String {
        let paths: Vec<_> = self.joined.iter().map(|group| group.to_str().unwrap()).collect();
        paths.join(",")
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        group_support::remove(&self.made);
        // Those above that another one made, and left because this was in them.
        for group in self.joined.iter().flat_map(|group| group.ancestors()) {
            if group.to_string_lossy().contains("accelscope-test-") {
                std::fs::remove_dir(group).ok();
            }
        }
    }
}
