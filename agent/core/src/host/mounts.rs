//! Mounted file systems.
//!
//! What is said here of a file system spares it and its server, and does not bound a wait: a mount may come after the table was
//! read, a file system may be stacked on another one, and a local one may be kept by a process that does not go on. Whoever
//! reads where a user can write does so on a thread of [`callers`](super::callers).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::HostRoots;
use super::process::{Mount, Processes};

/// Types of file systems that ask a server, which may not answer, or mount something when they are looked at.
const REMOTE: &[&str] = &[
    "9p",
    "afs",
    "autofs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
    "virtiofs",
    "wekafs",
];

/// Types of file systems that have neither a server nor another file system below them. Of these a user namespace can mount
/// those in memory alone (`FS_USERNS_MOUNT`).
const PLAIN: &[&str] = &[
    "bcachefs", "btrfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "nilfs2", "ntfs3",
    "ramfs", "reiserfs", "rootfs", "squashfs", "tmpfs", "udf", "vfat", "xfs", "zfs",
];

/// Most links that one path is followed through, as in the kernel.
const MAX_LINKS: usize = 40;

/// Mount points, each with whether what is mounted there is remote. Empty where they cannot be read.
#[derive(Debug, Default)]
pub struct Mounts(HashMap<PathBuf, bool>);

impl Mounts {
    /// As the host's first process sees them.
    pub fn of_host(roots: &HostRoots) -> Self {
        Self::of_process(&Processes::new(roots), 1)
    }

    /// As that process sees them.
    pub fn of_process(processes: &Processes, pid: u32) -> Self {
        Self::by(processes, pid, |mount| is_remote(&mount.kind))
    }

    /// As a process sees them in whose user namespace others than the host's root mount what they like. What may be stacked on
    /// a file system that does not answer (overlayfs, eCryptfs) counts as remote too, unless the host has mounted it itself.
    pub fn of_stranger(processes: &Processes, pid: u32) -> Self {
        let hosts = processes.mounts(1).unwrap_or_default();
        let hosts: HashSet<String> = hosts.into_iter().map(|mount| mount.device).collect();
        let is_plain = |mount: &Mount| PLAIN.contains(&&*mount.kind) || hosts.contains(&mount.device);
        let mut mounts = Self::by(processes, pid, |mount| is_remote(&mount.kind) || !is_plain(mount));
        if mounts.0.is_empty() {
            // Nothing is known of it.
            mounts.0.insert("/".into(), true);
        }
        mounts
    }

    fn by(processes: &Processes, pid: u32, is_remote: impl Fn(&Mount) -> bool) -> Self {
        let mounts = processes.mounts(pid).unwrap_or_default();
        // Of two mounts at one point the later one is seen.
        let mounts = mounts.into_iter().map(|mount| {
            let is_remote = is_remote(&mount);
            (mount.point, is_remote)
        });
        Self(mounts.collect())
    }

    /// Whether the file system of `path` is remote, or that of a directory above it, or where a link in it leads to. Nothing
    /// remote is asked for that. `roots` is where the mount points begin.
    pub fn leads_to_remote(&self, roots: &HostRoots, path: &Path) -> bool {
        if !self.0.values().any(|is_remote| *is_remote) {
            return false;
        }
        let mut at = PathBuf::from("/");
        let mut rest: Vec<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            at.push(name);
            if self.is_remote(&at) {
                return true;
            }
            let Ok(target) = std::fs::read_link(roots.path(&at)) else {
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return false;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            } else {
                at.pop();
            }
            rest.extend(names(&target));
        }
        self.is_remote(&at)
    }

    /// The same of a path without links.
    fn is_remote(&self, path: &Path) -> bool {
        let mounted = path.ancestors().find_map(|point| self.0.get(point));
        mounted.copied().unwrap_or_default()
    }
}

fn is_remote(kind: &str) -> bool {
    // Of any process that serves one: `fuse`, `fuse.sshfs`, `fuseblk`.
    REMOTE.contains(&kind) || (kind.starts_with("fuse") && kind != "fusectl")
}

/// The names in a path, the last one first.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut names: Vec<_> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_as_remote_as_what_is_mounted_deepest_above_it() {
        let mounts = [
            ("/", "ext4"),
            ("/home", "nfs4"),
            ("/home/local", "xfs"),
            ("/srv", "ext4"),
            ("/srv", "fuse"),
        ];
        let mounts = mounts.map(|(point, kind)| (point.into(), is_remote(kind)));
        let mounts = Mounts(HashMap::from(mounts));
        for (path, is_remote) in [
            ("/var/lib/docker", false),
            ("/home/edge", true),
            ("/home/local/edge", false),
            ("/homes", false),
            ("/srv/docker", true),
        ] {
            assert_eq!(mounts.is_remote(Path::new(path)), is_remote, "{path}");
        }
    }

    #[test]
    fn a_link_is_as_remote_as_what_it_leads_to() {
        let directory = tempfile::tempdir().unwrap();
        let roots = HostRoots::new(directory.path());
        std::fs::create_dir_all(roots.path("/home/bob/.local/share")).unwrap();
        let point = |kind| HashMap::from([("/mnt/far".into(), is_remote(kind))]);
        for (at, to) in [
            ("/home/bob/.local/share/containers", "/mnt/far/bob"),
            ("/home/bob/relative", "../../mnt/far"),
            ("/home/bob/twice", "relative/x"),
            ("/home/bob/circle", "circle"),
            ("/home/bob/near", "/home/bob/.local"),
        ] {
            std::os::unix::fs::symlink(to, roots.path(at)).unwrap();
        }
        for (path, is_far) in [
            ("/home/bob/.local/share/containers/storage", true),
            ("/home/bob/relative/docker", true),
            ("/home/bob/twice", true),
            ("/home/bob/near/share/containers/storage", true),
            ("/home/bob/circle/x", false),
            ("/home/bob/near/share/docker", false),
        ] {
            for kind in ["fuse", "fuse.sshfs", "fuseblk", "cifs"] {
                assert_eq!(
                    Mounts(point(kind)).leads_to_remote(&roots, Path::new(path)),
                    is_far,
                    "{path}: {kind}"
                );
            }
            assert!(
                !Mounts(point("ext4")).leads_to_remote(&roots, Path::new(path)),
                "{path}"
            );
        }
    }

    #[test]
    fn this_machines_root_is_mounted_and_local() {
        let mounts = Mounts::of_host(&HostRoots::new("/"));
        assert!(!mounts.0.is_empty() && !mounts.is_remote(Path::new("/")));
    }
}
