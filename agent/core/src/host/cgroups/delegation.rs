//! Control groups that root has given to other users.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cgroup::{Delegated, names};
use crate::host::HostRoots;

/// File systems of control groups (`include/uapi/linux/magic.h`): v1 and v2.
const FILE_SYSTEMS: [u32; 2] = [0x0027_e0eb, 0x6367_7270];

/// The first group on the way to `path` that is another user's than root's. Nothing where that is not seen: in another file
/// system, from outside of the reader's namespace, or where root is not root.
pub(super) fn below(mount: &Path, path: &str) -> Option<Delegated> {
    let kind = rustix::fs::statfs(mount).ok()?.f_type as u32;
    let is_seen = FILE_SYSTEMS.contains(&kind) && !path.starts_with("/..") && mount.metadata().ok()?.uid() == 0;
    if !is_seen {
        return None;
    }
    let mut directory = mount.to_owned();
    for (at, name) in names(path).enumerate() {
        directory.push(name);
        // One that has gone says nothing, and those in it neither.
        let user = directory.symlink_metadata().ok()?.uid();
        if user != 0 {
            let depth = at + 1;
            return Some(Delegated { depth, user });
        }
    }
    None
}

/// Where the hierarchy of a line of `/proc/<pid>/cgroup` with these controllers is.
pub(super) fn mount(roots: &HostRoots, controllers: &str) -> PathBuf {
    let top = roots.path("/sys/fs/cgroup");
    let named = match controllers {
        "" => top.join("unified"),
        controllers => top.join(controllers.strip_prefix("name=").unwrap_or(controllers)),
    };
    if controllers.is_empty() && !named.join("cgroup.controllers").exists() {
        top
    } else {
        named
    }
}
