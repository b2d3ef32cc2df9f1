//! Whether the driver considers this process an "admin container", which opens cards without owning them.
//!
//! The driver's conditions (`docker_query.c`, `uda_access.c` of its source): user 0, the initial user namespace, every
//! capability, and `/sys/fs/cgroup/memory` not mounted read-only. A child of this process meets them if this process
//! does: a child of root gets all capabilities of the bounding set.

use std::path::{Path, PathBuf};

use accelscope_core::host::bounded::read_bounded;
use accelscope_core::host::user_namespace;

const MAX_BYTES: usize = 4 << 20;

/// How to meet the conditions.
pub(super) const REMEDY: &str = "run the agent's container privileged and as root without a user namespace, or on the \
    host as root; where you know that opening a card here locks nobody out, set ascend.require_admin = false";

/// Reason for using neither the tool nor the library, for the log.
pub(super) fn not_permitted(why: &str) -> String {
    format!("not permitted: would seize the card: {why}; {REMEDY}")
}

/// The first condition that this process does not meet, as a sentence.
pub(super) fn missing() -> Option<String> {
    let inputs = Inputs {
        is_root: rustix::process::geteuid().is_root() && rustix::process::getuid().is_root(),
        proc_self: PathBuf::from("/proc/self"),
        last_capability: PathBuf::from("/proc/sys/kernel/cap_last_cap"),
    };
    inputs.missing()
}

/// Inputs of the check.
struct Inputs {
    is_root: bool,
    proc_self: PathBuf,
    last_capability: PathBuf,
}

impl Inputs {
    fn missing(&self) -> Option<String> {
        if !self.is_root {
            return Some("it does not run as root".to_owned());
        }
        match user_namespace::is_initial(&self.proc_self) {
            Ok(true) => {}
            Ok(false) => return Some("it runs in a user namespace of its own".to_owned()),
            Err(error) => return Some(format!("its user namespace cannot be read: {error}")),
        }
        let (status, last, mounts) = match (
            text(&self.proc_self.join("status")),
            text(&self.last_capability),
            text(&self.proc_self.join("mountinfo")),
        ) {
            (Ok(status), Ok(last), Ok(mounts)) => (status, last, mounts),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
                return Some(format!("its capabilities and mounts cannot be read: {error}"));
            }
        };
        let full = last
            .trim()
            .parse()
            .ok()
            .and_then(|last: u32| 2u64.checked_pow(last + 1));
        let full = full.map_or(u64::MAX, |beyond| beyond - 1);
        let has_all = ["CapEff:", "CapBnd:"]
            .iter()
            .all(|set| capabilities(&status, set) == Some(full));
        if !has_all {
            return Some("it does not have every capability".to_owned());
        }
        is_read_only(&mounts).then(|| "/sys/fs/cgroup/memory is mounted read-only".to_owned())
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    Ok(String::from_utf8_lossy(&read_bounded(path, MAX_BYTES)?).into_owned())
}

fn capabilities(status: &str, set: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(set))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether the mount that contains `/sys/fs/cgroup/memory` is read-only: the last one with the longest path.
fn is_read_only(mountinfo: &str) -> bool {
    let of = |line: &'_ str| {
        let mut words = line.split(' ').skip(4);
        let (point, options) = (words.next()?.to_owned(), words.next()?);
        let inside = Path::new("/sys/fs/cgroup/memory").starts_with(&point);
        let read_only = options.split(',').any(|option| option == "ro");
        inside.then_some((point.len(), read_only))
    };
    let holding = mountinfo.lines().filter_map(of).max_by_key(|(length, _)| *length);
    holding.is_some_and(|(_, read_only)| read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST_V1: &str = "31 23 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro\n\
                           35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n";

    fn inputs(capabilities: &str, mounts: &str) -> (tempfile::TempDir, Inputs) {
        let directory = tempfile::tempdir().unwrap();
        let proc_self = directory.path().to_owned();
        std::fs::create_dir(proc_self.join("ns")).unwrap();
        std::os::unix::fs::symlink("user:[4026531837]", proc_self.join("ns/user")).unwrap();
        let status = format!("Name:\tagent\nCapEff:\t{capabilities}\nCapBnd:\t{capabilities}\n");
        std::fs::write(proc_self.join("status"), status).unwrap();
        std::fs::write(proc_self.join("mountinfo"), mounts).unwrap();
        std::fs::write(proc_self.join("last"), "40\n").unwrap();
        let inputs = Inputs {
            is_root: true,
            last_capability: proc_self.join("last"),
            proc_self,
        };
        (directory, inputs)
    }

    #[test]
    fn the_host_s_root_and_a_privileged_container_are_admin() {
        assert_eq!(inputs("000001ffffffffff", HOST_V1).1.missing(), None);
        let v2 = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(inputs("000001ffffffffff", v2).1.missing(), None);
    }

    #[test]
    fn a_process_that_fails_one_condition_is_not_admin() {
        let (_kept, few) = inputs("00000000a80425fb", HOST_V1);
        assert!(few.missing().unwrap().contains("capability"));
        let (_kept, all_but_one) = inputs("000001fffeffffff", HOST_V1);
        assert!(all_but_one.missing().unwrap().contains("capability"));
        let read_only = HOST_V1.replace("memory rw", "memory ro");
        assert!(
            inputs("000001ffffffffff", &read_only)
                .1
                .missing()
                .unwrap()
                .contains("read-only")
        );
        let v2 = "30 23 0:27 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n";
        assert!(
            inputs("000001ffffffffff", v2)
                .1
                .missing()
                .unwrap()
                .contains("read-only")
        );
        let (_kept, mut user) = inputs("000001ffffffffff", HOST_V1);
        user.is_root = false;
        assert!(user.missing().unwrap().contains("root"));
        let (kept, inside) = inputs("000001ffffffffff", HOST_V1);
        std::fs::remove_file(kept.path().join("ns/user")).unwrap();
        std::os::unix::fs::symlink("user:[4026532001]", kept.path().join("ns/user")).unwrap();
        assert!(inside.missing().unwrap().contains("user namespace"));
    }

    #[test]
    fn an_unreadable_condition_counts_as_not_met() {
        let (kept, inputs) = inputs("000001ffffffffff", HOST_V1);
        std::fs::remove_file(kept.path().join("status")).unwrap();
        assert!(inputs.missing().unwrap().contains("cannot be read"));
    }
}
