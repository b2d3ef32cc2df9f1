//! Mount points of the hierarchies, and their groups.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::id::{CgroupId, Hierarchy, State};
use crate::host::HostRoots;

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

#[derive(Debug)]
pub(super) struct Hierarchies {
    roots: HostRoots,
    found: Option<Found>,
}

#[derive(Debug, Default)]
struct Found {
    unified: Option<PathBuf>,
    legacy: Option<PathBuf>,
    /// The v1 hierarchy's number.
    legacy_number: Option<u32>,
    see_all: bool,
}

impl Hierarchies {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            roots: roots.clone(),
            found: None,
        }
    }

    pub(super) fn of_number(&mut self, number: u32) -> Option<Hierarchy> {
        if number == 0 {
            return Some(Hierarchy::Unified);
        }
        (self.found().legacy_number == Some(number)).then_some(Hierarchy::Legacy)
    }

    pub(super) fn see_all(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.see_all)
    }

    pub(super) fn processes(&self, id: CgroupId, path: &str) -> Vec<u32> {
        let mount = self.found.as_ref().and_then(|found| match id.hierarchy {
            Hierarchy::Unified => found.unified.as_ref(),
            Hierarchy::Legacy => found.legacy.as_ref(),
        });
        let Some(directory) = mount.map(|mount| mount.join(path.trim_start_matches('/'))) else {
            return Vec::new();
        };
        let is_it = directory.metadata().is_ok_and(|metadata| metadata.ino() == id.id);
        let mut text = String::new();
        let list = File::open(directory.join("cgroup.procs")).map(|list| list.take(MAX_LIST_BYTES));
        // A part is enough: more are read at another time.
        drop(list.and_then(|mut list| list.read_to_string(&mut text)));
        let pids = text.lines().filter_map(|line| line.parse().ok());
        pids.filter(|pid| is_it && *pid != 0).collect()
    }

    /// Ids and paths of all groups, within the limits.
    pub(super) fn read(&mut self, mut learn: impl FnMut(CgroupId, Arc<str>)) {
        // Mounts change: a hierarchy may have been mounted since.
        self.found = None;
        let found = self.found();
        for (hierarchy, mount) in [(Hierarchy::Unified, &found.unified), (Hierarchy::Legacy, &found.legacy)] {
            if let Some(mount) = mount {
                walk(mount, |id, path| learn(CgroupId { hierarchy, id }, path.into()));
            }
        }
    }

    pub(super) fn state(&self, id: CgroupId, path: &str) -> State {
        let Some(found) = &self.found else {
            return State::Unknown;
        };
        let Some(directory) = self.directory(id.hierarchy, path) else {
            return State::Unknown;
        };
        match directory.metadata() {
            Ok(metadata) if metadata.ino() == id.id => is_populated(&directory),
            // Another group of the same name.
            Ok(_) => State::Gone,
            // Otherwise it may exist outside of a private namespace, where it is not visible.
            Err(error) if error.kind() == io::ErrorKind::NotFound && found.see_all => State::Gone,
            Err(_) => State::Unknown,
        }
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
        let found = self.found.as_ref()?;
        let mount = match hierarchy {
            Hierarchy::Unified => &found.unified,
            Hierarchy::Legacy => &found.legacy,
        };
        mount.as_ref().map(|mount| mount.join(path.trim_start_matches('/')))
    }

    fn found(&mut self) -> &Found {
        self.found.get_or_insert_with(|| Found::new(&self.roots))
    }
}

impl Found {
    fn new(roots: &HostRoots) -> Self {
        let table = roots.read("/proc/cgroups", MAX_TABLE_BYTES).unwrap_or_default();
        let table = String::from_utf8_lossy(&table).into_owned();
        let mounted = |controller: &&str| number(&table, controller).is_some();
        // The same choice as in the eBPF programs.
        let controller = ["pids", "memory"].into_iter().find(mounted);
        let top = roots.path("/sys/fs/cgroup");
        let unified = [top.clone(), top.join("unified")]
            .into_iter()
            .find(|mount| mount.join("cgroup.controllers").exists());
        let legacy = controller.and_then(|controller| legacy(&top, controller));
        let is_whole = |mount: &Option<PathBuf>| {
            let number = |mount: &PathBuf| mount.metadata().map_or(0, |metadata| metadata.ino());
            mount.as_ref().is_none_or(|mount| number(mount) == ROOT)
        };
        Self {
            see_all: (unified.is_some() || legacy.is_some()) && is_whole(&unified) && is_whole(&legacy),
            unified,
            legacy,
            legacy_number: controller.and_then(|controller| number(&table, controller)),
        }
    }
}

/// Number of the v1 hierarchy of the controller; `None` if it belongs to cgroup v2 or is disabled.
fn number(table: &str, controller: &str) -> Option<u32> {
    let mut lines = table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let line = lines.find(|line| line.first() == Some(&controller))?;
    line.get(1)?.parse().ok().filter(|number| *number != 0)
}

/// Mount point of the controller, alone or with others (`cpu,cpuacct`).
fn legacy(top: &Path, controller: &str) -> Option<PathBuf> {
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
        match File::open(directory.join(list)).and_then(|mut file| file.read(&mut byte)) {
            Ok(0) => return State::Empty,
            Ok(_) => return State::Populated,
            Err(_) => {}
        }
    }
    State::Unknown
}
