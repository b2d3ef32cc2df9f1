//! Cgroups named as a kubelet names them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A container's cgroup, removed with its parents when it is dropped.
pub(crate) struct Cgroup {
    made: Vec<PathBuf>,
}

impl Cgroup {
    /// `/kubepods/burstable/pod<uid>/<container>` in the v2 tree, else in the v1 tree of `pids`.
    pub(crate) fn create(uid: &str, container: &str) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let tree = if root.join("cgroup.controllers").exists() {
            root.to_path_buf()
        } else {
            root.join("pids")
        };
        let mut cgroup = Self { made: Vec::new() };
        let mut path = tree;
        for part in ["kubepods", "burstable", &format!("pod{uid}"), container] {
            path.push(part);
            if !path.exists() {
                std::fs::create_dir(&path).with_context(|| format!("cannot create the cgroup {}", path.display()))?;
                cgroup.made.push(path.clone());
            }
        }
        Ok(cgroup)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.made.last().cloned().unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for path in self.made.iter().rev() {
            // The kernel takes a moment to empty the cgroup of a killed process; a shared parent may be in use.
            for _ in 0..20 {
                match std::fs::remove_dir(path) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(50));
                    }
                    _ => break,
                }
            }
        }
    }
}
