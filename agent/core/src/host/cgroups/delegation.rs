//! Control groups that root has given to other users.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cgroup::{Delegated, names};
use crate::host::HostRoots;

/// File systems of control groups (`include/uapi/linux/magic.h`): v1 and v2.
const FILE_SYSTEMS: [u32; 2] = [0x0027_e0eb, 0x6367_7270];

/// Write permission of all users, and of the group (inode(7)).
const ALL_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;

/// The first group on the way to `path` that is another user's than root's. Nothing where that is not seen: in another file
/// system, where it is not at that path, or where root is not root.
///
/// A path from outside of the reader's namespace is looked for at the root of the file system: that of the host may be there.
pub(super) fn below(mount: &Path, path: &str) -> Option<Delegated> {
    let mut names = names(path).enumerate().peekable();
    names.peek()?;
    let kind = rustix::fs::statfs(mount).ok()?.f_type as u32;
    let top = mount.metadata().ok()?;
    if !FILE_SYSTEMS.contains(&kind) || top.uid() != 0 {
        return None;
    }
    let mut directory = mount.to_owned();
    let mut around = top;
    for (at, name) in names {
        directory.push(name);
        // One that has gone says nothing, and those in it neither.
        let group = directory.symlink_metadata().ok()?;
        if group.uid() != 0 {
            // Where others may make groups, the name is theirs too.
            let depth = at + usize::from(!is_open(&around));
            return Some(Delegated {
                depth,
                user: group.uid(),
            });
        }
        around = group;
    }
    None
}

/// Whether others than root and its group may make groups in it. The file system has no access control lists (`kernfs`).
fn is_open(group: &Metadata) -> bool {
    group.mode() & ALL_WRITE != 0 || (group.mode() & GROUP_WRITES != 0 && group.gid() != 0)
}

/// Where the hierarchy of a line of `/proc/<pid>/cgroup` with these controllers is.
pub(super) fn mount(roots: &HostRoots, controllers: &str) -> PathBuf {
    let top = roots.path("/sys/fs/cgroup");
    let named = match controllers {
        "" => top.join("unified"),
        controllers => top.join(controllers.strip_prefix("name=").unwrap_or(controllers)),
    };
    if controllers.is_empty() && !named.join("cgroup.controllers").exists() {
        return top;
    }
    // The controllers may be mounted in another order, with a link for each.
    let mut places = std::iter::once(named.clone()).chain(controllers.split(',').map(|one| top.join(one)));
    places.find(|place| place.exists()).unwrap_or(named)
}
