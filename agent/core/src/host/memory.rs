//! The memory that the control groups of this process leave it.

use std::path::Path;

use super::HostRoots;
use crate::cgroup;

/// Largest file that is read, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// From here on a limit of v1 means none: `PAGE_COUNTER_MAX` pages, which differs with the size of a page.
const NONE: u64 = 1 << 60;

/// The smallest limit in bytes among the control groups that this process is in (`memory.max` of v2,
/// `memory.limit_in_bytes` of v1); nothing where there is none. `roots` is what this process sees, not the host's root.
///
/// In a container the file system of control groups begins at the container's own group, whatever the path in
/// `/proc/self/cgroup` says: so all groups of the path that are there count, and the root of the file system.
pub fn limit(roots: &HostRoots) -> Option<u64> {
    let own = roots.read("/proc/self/cgroup", MAX_BYTES).unwrap_or_default();
    let own = String::from_utf8_lossy(&own).into_owned();
    let paths = || cgroup::paths(&own).chain(["/"]);
    let places = [
        ("/sys/fs/cgroup", "memory.max"),
        ("/sys/fs/cgroup/unified", "memory.max"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ];
    let limits = places.iter().flat_map(|(mount, file)| {
        paths().flat_map(move |path| {
            let groups = Path::new(path.trim_start_matches('/')).ancestors();
            groups.filter_map(move |group| read(roots, &Path::new(mount).join(group).join(file)))
        })
    });
    limits.min()
}

/// `max`, and in v1 a number that no machine has, are no limits.
fn read(roots: &HostRoots, file: &Path) -> Option<u64> {
    let text = roots.read(file, MAX_BYTES).ok()?;
    let limit = String::from_utf8_lossy(&text).trim().parse().ok()?;
    (limit > 0 && limit < NONE).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_of(files: &[(&str, &str)]) -> Option<u64> {
        let host = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = host.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        limit(&HostRoots::new(host.path()))
    }

    #[test]
    fn the_smallest_limit_of_the_groups_around_counts() {
        let service = ("proc/self/cgroup", "0::/system.slice/agent.service\n");
        let of_service = ("sys/fs/cgroup/system.slice/agent.service/memory.max", "max\n");
        let of_slice = ("sys/fs/cgroup/system.slice/memory.max", "1073741824\n");
        assert_eq!(limit_of(&[service, of_service, of_slice]), Some(1 << 30));
        let of_service = (of_service.0, "67108864\n");
        assert_eq!(limit_of(&[service, of_service, of_slice]), Some(64 << 20));
        assert_eq!(limit_of(&[service]), None);
        assert_eq!(limit_of(&[]), None);
    }

    #[test]
    fn a_container_s_own_group_is_the_root_of_what_it_sees() {
        let private = ("proc/self/cgroup", "0::/\n");
        let root = ("sys/fs/cgroup/memory.max", "67108864\n");
        assert_eq!(limit_of(&[private, root]), Some(64 << 20));
        // Docker with cgroup v1: the path is the host's, the file system is the container's.
        let shared = ("proc/self/cgroup", "9:memory:/docker/abc\n0::/\n");
        let root = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
        assert_eq!(limit_of(&[shared, root]), Some(128 << 20));
        let unlimited = (root.0, "9223372036854771712\n");
        assert_eq!(limit_of(&[shared, unlimited]), None);
    }
}
