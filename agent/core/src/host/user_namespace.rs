//! The user namespace of a process. In another than the initial one capabilities are those over the namespace alone, also root's
//! (user_namespaces(7)).

use std::io;
use std::path::Path;

/// Inode of the initial one (`PROC_USER_INIT_INO`, include/linux/proc_ns.h).
const INITIAL: &str = "user:[4026531837]";

/// What helps against what the kernel refuses a process in one of its own.
pub const REMEDY: &str = "run the agent in the initial user namespace: as a service of the host, or in a container that has no \
                          user namespace (Docker and Podman as root, without userns-remap; Kubernetes without hostUsers: false)";

/// Whether a process is in the initial one. `process` is its folder of `/proc`.
pub fn is_initial(process: &Path) -> io::Result<bool> {
    std::fs::read_link(process.join("ns/user")).map(|link| link == Path::new(INITIAL))
}

/// Whether this process is in another one; false if not known.
pub fn is_own() -> bool {
    matches!(is_initial(Path::new("/proc/self")), Ok(false))
}
