//! Mount points of the hierarchies, and their groups.

use std::io::{self, Read};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::controllers::{Controllers, V1};
use super::id::{CgroupId, Hierarchy, State};
use crate::host::HostRoots;
use crate::host::bounded::open_now;

/// Limit in bytes of `/proc/cgroups`: one line for each of some fifteen controllers.
const MAX_TABLE_BYTES: usize = 16 * 1024;

/// Limit in bytes of a group's list of processes: some thousands.
const MAX_LIST_BYTES: u64 = 32 * 1024;

/// Limit of groups of one hierarchy in one scan. A node with 110 pods has about a thousand.
const MAX_GROUPS: usize = 16_384;

/// Time limit of a scan of one hierarchy.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Inode number of the root in every hierarchy (`kernfs_create_root`).
const ROOT: u64 = 1;

/// Most groups of a path that may be above the file system's root.
const MAX_DEPTH: usize = 32;

/// What the file systems have of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Found(State),
    /// It is not there.
    Missing,
    Unreadable,
}

#[derive(Debug)]
pub(super) struct Hierarchies {
    roots: HostRoots,
    found: Option<Found>,
}

#[derive(Debug, Default)]
struct Found {
    unified: Option<PathBuf>,
    /// Those of v1 that are captured; nothing where one is not visible.
    legacy: Vec<(V1, Option<PathBuf>)>,
    see_all: bool,
}

impl Hierarchies {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            found: None,
        }
    }

    pub(super) fn roots(&self) -> &HostRoots {
        &self.roots
    }

    /// Mount point of the hierarchy.
    pub(super) fn mount(&mut self, hierarchy: Hierarchy) -> Option<PathBuf> {
        self.found().mount(hierarchy).cloned()
    }

    pub(super) fn of_number(&mut self, number: u32) -> Option<Hierarchy> {
        if number == 0 {
            return Some(Hierarchy::Unified);
        }
        let mut legacy = self.found().legacy.iter().map(|(v1, _)| v1);
        Some(legacy.find(|v1| v1.number == number)?.hierarchy())
    }

    pub(super) fn see_all(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.see_all)
    }

    pub(super) fn processes(&mut self, id: CgroupId, path: &str) -> Vec<u32> {
        let Ok(Some(directory)) = self.locate(id, path) else {
            return Vec::new();
        };
        let mut text = String::new();
        let list = open_now(&directory.join("cgroup.procs")).map(|list| list.take(MAX_LIST_BYTES));
        // A part is enough: more are read at another time.
        drop(list.and_then(|mut list| list.read_to_string(&mut text)));
        let pids = text.lines().filter_map(|line| line.parse().ok());
        pids.filter(|pid| *pid != 0).collect()
    }

    /// Ids and paths of all groups, within the limits.
    pub(super) fn read(&mut self, mut learn: impl FnMut(CgroupId, Arc<str>)) {
        // Mounts change: a hierarchy may have been mounted since.
        self.found = None;
        let found = self.found();
        let unified = found.unified.iter().map(|mount| (Hierarchy::Unified, mount));
        let legacy = found.legacy.iter();
        let legacy = legacy.filter_map(|(v1, mount)| Some((v1.hierarchy(), mount.as_ref()?)));
        for (hierarchy, mount) in unified.chain(legacy) {
            walk(mount, |id, path| learn(CgroupId { hierarchy, id }, path.into()));
        }
    }

    /// Looks for the group at its path.
    pub(super) fn look(&mut self, id: CgroupId, path: &str) -> Look {
        match self.locate(id, path) {
            Ok(Some(directory)) => Look::Found(is_populated(&directory)),
            Ok(None) => Look::Missing,
            Err(_) => Look::Unreadable,
        }
    }

    /// The directory of the group with that path; nothing where it is not there. In a private namespace the path of the
    /// kernel begins above the file system's root: there the group is at the end of it.
    pub(super) fn locate(&mut self, id: CgroupId, path: &str) -> io::Result<Option<PathBuf>> {
        let found = self.found();
        let Some(mount) = found.mount(id.hierarchy) else {
            return Ok(None);
        };
        let path = path.trim_start_matches('/');
        let ends = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
        let ends = ends.take(if found.see_all { 0 } else { MAX_DEPTH });
        for end in std::iter::once(path).chain(ends) {
            let directory = mount.join(end);
            match directory.metadata() {
                Ok(metadata) if metadata.ino() == id.id => return Ok(Some(directory)),
                // Another group of the same name.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Whether the group is at that path.
    pub(super) fn is_at(&self, id: CgroupId, path: &str) -> bool {
        let directory = self.directory(id.hierarchy, path);
        directory.is_some_and(|directory| directory.metadata().is_ok_and(|metadata| metadata.ino() == id.id))
    }

    /// The name of the group in its parent.
    pub(super) fn name_in(&self, id: CgroupId, parent: &str) -> Option<String> {
        let entries = std::fs::read_dir(self.directory(id.hierarchy, parent)?).ok()?;
        let mut entries = entries.take(MAX_GROUPS).filter_map(Result::ok);
        let entry = entries.find(|entry| entry.ino() == id.id)?;
        entry.file_name().into_string().ok()
    }

    fn directory(&self, hierarchy: Hierarchy, path: &str) -> Option<PathBuf> {
        let mount = self.found.as_ref()?.mount(hierarchy)?;
        Some(mount.join(path.trim_start_matches('/')))
    }

    fn found(&mut self) -> &Found {
        self.found.get_or_insert_with(|| Found::new(&self.roots))
    }
}

impl Found {
    fn new(roots: &HostRoots) -> Self {
        let table = roots.read("/proc/cgroups", MAX_TABLE_BYTES).unwrap_or_default();
        // The same choice as for the eBPF programs.
        let captured = Controllers::parse(&String::from_utf8_lossy(&table)).captured();
        let top = roots.path("/sys/fs/cgroup");
        let unified = unified(&top);
        let legacy = captured.into_iter().map(|v1| (v1, legacy(&top, v1.controller)));
        let legacy: Vec<(V1, Option<PathBuf>)> = legacy.collect();
        let mut mounts = unified
            .iter()
            .chain(legacy.iter().filter_map(|(_, mount)| mount.as_ref()));
        let is_whole = |mount: &PathBuf| mount.metadata().is_ok_and(|metadata| metadata.ino() == ROOT);
        let any = mounts.clone().next().is_some();
        Self {
            see_all: any && mounts.all(is_whole),
            unified,
            legacy,
        }
    }

    fn mount(&self, hierarchy: Hierarchy) -> Option<&PathBuf> {
        if hierarchy == Hierarchy::Unified {
            return self.unified.as_ref();
        }
        let mut legacy = self.legacy.iter();
        legacy.find(|(v1, _)| v1.hierarchy() == hierarchy)?.1.as_ref()
    }
}

/// Mount point of cgroup v2.
pub(super) fn unified(top: &Path) -> Option<PathBuf> {
    let mut mounts = [top.to_owned(), top.join("unified")].into_iter();
    mounts.find(|mount| mount.join("cgroup.controllers").exists())
}

/// Mount point of the controller, alone or with others (`cpu,cpuacct`).
pub(super) fn legacy(top: &Path, controller: &str) -> Option<PathBuf> {
    let is_hierarchy = |mount: &PathBuf| mount.join("cgroup.procs").exists();
    let alone = Some(top.join(controller)).filter(is_hierarchy);
    alone.or_else(|| {
        let names = std::fs::read_dir(top).ok()?.take(64).filter_map(Result::ok);
        names
            .filter(|entry| {
                entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| name.split(',').any(|one| one == controller))
            })
            .map(|entry| entry.path())
            .find(is_hierarchy)
    })
}

fn walk(mount: &Path, mut learn: impl FnMut(u64, &str)) {
    let until = Instant::now() + MAX_TIME;
    let Ok(root) = mount.metadata() else { return };
    learn(root.ino(), "/");
    let (mut open, mut count) = (vec![String::new()], 0);
    while let Some(path) = open.pop() {
        // A group that is removed in between has no entries.
        let Ok(entries) = std::fs::read_dir(mount.join(path.trim_start_matches('/'))) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let child = format!("{path}/{}", entry.file_name().to_string_lossy());
            count += 1;
            if count > MAX_GROUPS || Instant::now() > until {
                tracing::warn!(
                    mount = %mount.display(),
                    groups = count,
                    "too many control groups to read them all: what runs in the others is shown without its container; \
                     remove those that are empty"
                );
                return;
            }
            learn(entry.ino(), &child);
            open.push(child);
        }
    }
}

fn is_populated(directory: &Path) -> State {
    // A threaded group of cgroup v2 refuses the first.
    for list in ["cgroup.procs", "cgroup.threads"] {
        let mut byte = [0];
        match open_now(&directory.join(list)).and_then(|mut file| file.read(&mut byte)) {
            Ok(0) => return State::Empty,
            Ok(_) => return State::Populated,
            Err(_) => {}
        }
    }
    State::Unknown
}
