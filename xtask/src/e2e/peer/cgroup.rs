//! Cgroups with a kubelet's names.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use crate::e2e::wait;

/// A container's cgroup, removed on drop.
pub(crate) struct Cgroup {
    /// Created cgroups, from the outermost to the container's.
    levels: Vec<PathBuf>,
}

impl Cgroup {
    /// `/kubepods/burstable/pod<uid>/<container>`.
    pub(crate) fn create(uid: &str, container: &str) -> Result<Self> {
        let mut path = base().to_owned();
        let mut levels = vec![];
        if path.ends_with(own_name()) {
            levels.push(path.clone());
        }
        for part in ["kubepods", "burstable", &format!("pod{uid}"), container] {
            path.push(part);
            levels.push(path.clone());
        }
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create the cgroup {}", path.display()))?;
        Ok(Self { levels })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.levels.last().cloned().unwrap_or_default()
    }
}

fn own_name() -> String {
    format!("accelscope-e2e-{}", std::process::id())
}

/// The v2 tree, else the v1 tree of `pids`; below a cgroup of the test's own if this machine runs a kubelet, as in a
/// nested node.
fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let root = Path::new("/sys/fs/cgroup");
        let tree = if root.join("cgroup.controllers").exists() {
            root.to_path_buf()
        } else {
            root.join("pids")
        };
        if tree.join("kubepods").exists() {
            tree.join(own_name())
        } else {
            tree
        }
    })
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel empties the cgroup of a killed process with a delay.
        let path = self.path();
        let removed = wait::until_true("the cgroup to be empty", wait::SOON, || {
            let result = std::fs::remove_dir(&path);
            Ok(!result.is_err_and(|error| error.kind() == ErrorKind::ResourceBusy))
        });
        if let Err(error) = removed {
            eprintln!("{} is left behind: {error:#}", path.display());
        }
        // The last of several containers removes the outer ones.
        for level in self.levels.iter().rev().skip(1) {
            drop(std::fs::remove_dir(level));
        }
    }
}
