//! Mounted file systems.

use std::path::{Path, PathBuf};

use super::HostRoots;
use super::process::Processes;

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

/// Mount points of the host, each with whether what is mounted there is remote. Empty where they cannot be read.
#[derive(Debug, Default)]
pub struct Mounts(Vec<(PathBuf, bool)>);

impl Mounts {
    /// As the host's first process sees them.
    pub fn of_host(roots: &HostRoots) -> Self {
        let mounts = Processes::new(roots).mounts(1).unwrap_or_default();
        let is_remote = |kind: &str| REMOTE.contains(&kind) || kind.starts_with("fuse.");
        Self(
            mounts
                .into_iter()
                .map(|(point, kind)| (point, is_remote(&kind)))
                .collect(),
        )
    }

    /// Whether the file system of `path` is remote, or that of a directory above it.
    pub fn is_remote(&self, path: &Path) -> bool {
        let on = self.0.iter().filter(|(point, _)| path.starts_with(point));
        // Of two mounts at one point the later one is seen.
        let deepest = on.max_by_key(|(point, _)| point.components().count());
        deepest.is_some_and(|(_, is_remote)| *is_remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_as_remote_as_what_is_mounted_deepest_above_it() {
        let mounts = Mounts(vec![
            ("/".into(), false),
            ("/home".into(), true),
            ("/home/local".into(), false),
            ("/srv".into(), false),
            ("/srv".into(), true),
        ]);
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
    fn this_machines_root_is_mounted_and_local() {
        let mounts = Mounts::of_host(&HostRoots::new("/"));
        assert!(!mounts.0.is_empty() && !mounts.is_remote(Path::new("/")));
    }
}
