//! Directories of the groups that a process' container, unit or job consists of.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cgroups, delegation};
use crate::cgroup::{Cgroup, names};
use crate::host::HostRoots;
use crate::host::bounded::read_bounded;

/// Limit in bytes of a group's list of processes.
const MAX_LIST_BYTES: usize = 1 << 20;
/// Limit in bytes of the reader's own `/proc/self/cgroup`.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most groups that are looked at for the reader's own, for how long, and when that is tried again.
const MAX_GROUPS: usize = 8192;
const MAX_TIME: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_mins(10);

/// What a process is in, and where the kernel's files of it are.
#[derive(Debug)]
pub struct Groups {
    /// The container, job or unit.
    pub cgroup: Arc<Cgroup>,
    /// The controllers of each hierarchy in which it has a group (`""` is cgroup v2, `cpu,cpuacct` one of v1), with the
    /// group's directory.
    pub directories: Vec<(String, PathBuf)>,
}

impl Groups {
    /// The group in the hierarchy of v1 with that controller.
    pub fn legacy(&self, controller: &str) -> Option<&Path> {
        let has = |controllers: &str| controllers.split(',').any(|one| one == controller);
        let found = self.directories.iter().find(|(controllers, _)| has(controllers))?;
        Some(&found.1)
    }

    /// The group in cgroup v2.
    pub fn unified(&self) -> Option<&Path> {
        let found = self
            .directories
            .iter()
            .find(|(controllers, _)| controllers.is_empty())?;
        Some(&found.1)
    }
}

/// Finds them by the text of `/proc/<pid>/cgroup`.
#[derive(Debug)]
pub struct GroupFinder {
    roots: HostRoots,
    cgroups: Cgroups,
    /// By mount: the group that is the root of the reader's namespace, and when it was looked for.
    own: HashMap<PathBuf, (Option<PathBuf>, Instant)>,
}

impl GroupFinder {
    /// Of the host.
    pub fn new(roots: &HostRoots, cgroups: Cgroups) -> Self {
        Self {
            roots: roots.clone(),
            cgroups,
            own: HashMap::new(),
        }
    }

    /// What the process with this `/proc/<pid>/cgroup` is in. Nothing where that is no container, job and unit.
    pub fn find(&mut self, text: &str) -> Option<Groups> {
        let cgroup = self.cgroups.parse(text);
        if !cgroup.is_contained() && cgroup.job.is_none() && cgroup.unit.is_none() {
            return None;
        }
        let mut directories = Vec::new();
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
                continue;
            };
            let mount = delegation::mount(&self.roots, controllers);
            let delegated = delegation::below(&mount, path);
            // On a host with both versions, a hierarchy may know the service of the engine only.
            let Some((found, group)) = Cgroup::with_group(path, delegated) else {
                continue;
            };
            if is_same(&found, &cgroup)
                && let Some(directory) = self.directory(&mount, controllers, group)
            {
                directories.push((controllers.to_owned(), directory));
            }
        }
        let cgroup = Arc::new(cgroup);
        Some(Groups { cgroup, directories })
    }

    /// The directory of a group. A path that begins with `/..` is outside of the reader's cgroup namespace: it begins at the
    /// root of that namespace, which the file system of the host has somewhere (cgroup_namespaces(7)).
    fn directory(&mut self, mount: &Path, controllers: &str, path: &str) -> Option<PathBuf> {
        let above = path.split('/').filter(|part| !part.is_empty());
        let above = above.take_while(|part| *part == "..").count();
        let mut directory = if above == 0 {
            mount.to_owned()
        } else {
            let mut base = self.own(mount, controllers)?;
            for _ in 0..above {
                if base == mount || !base.pop() {
                    return None;
                }
            }
            base
        };
        directory.extend(names(path));
        directory.is_dir().then_some(directory)
    }

    fn own(&mut self, mount: &Path, controllers: &str) -> Option<PathBuf> {
        let now = Instant::now();
        if let Some((own, looked)) = self.own.get(mount)
            && own.as_ref().map_or(now < *looked + AGAIN, |own| own.is_dir())
        {
            return own.clone();
        }
        let own = self.root_of_namespace(mount, controllers);
        self.own.insert(mount.to_owned(), (own.clone(), now));
        own
    }

    /// The group that has this process, without the groups that it has below the namespace's root.
    fn root_of_namespace(&self, mount: &Path, controllers: &str) -> Option<PathBuf> {
        let text = read_bounded(&self.roots.proc().join("self/cgroup"), MAX_TEXT_BYTES).ok()?;
        let text = String::from_utf8_lossy(&text);
        let of = |line: &str| {
            let (found, path) = line.split_once(':')?.1.split_once(':')?;
            (found == controllers).then(|| names(path).count())
        };
        let below = text.lines().find_map(of)?;
        let mut own = own_group(mount)?;
        for _ in 0..below {
            own.pop();
        }
        own.starts_with(mount).then_some(own)
    }
}

/// Whether two paths of a process lead to the same.
fn is_same(one: &Cgroup, other: &Cgroup) -> bool {
    if other.is_contained() {
        return one.container() == other.container() && one.pod_uid == other.pod_uid;
    }
    !one.is_contained() && one.job == other.job && (other.job.is_some() || one.unit == other.unit)
}

/// The group below `mount` that lists this process, upper ones first.
fn own_group(mount: &Path) -> Option<PathBuf> {
    let until = Instant::now() + MAX_TIME;
    let own = std::process::id();
    let mut open = VecDeque::from([mount.to_owned()]);
    let mut seen = 0;
    while let Some(directory) = open.pop_front() {
        let list = read_bounded(&directory.join("cgroup.procs"), MAX_LIST_BYTES).unwrap_or_default();
        let list = String::from_utf8_lossy(&list);
        if list.lines().any(|line| line.parse() == Ok(own)) {
            return Some(directory);
        }
        let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            seen += 1;
            if seen > MAX_GROUPS || Instant::now() > until {
                return None;
            }
            open.push_back(entry.path());
        }
    }
    None
}

#[cfg(test)]
#[path = "finder_tests.rs"]
mod tests;
