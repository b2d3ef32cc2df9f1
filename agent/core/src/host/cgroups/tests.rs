use std::os::unix::fs::MetadataExt;

use super::*;

/// A host with plain directories as hierarchies: their inode numbers are used as kernel ids.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        host.write(
            "/proc/cgroups",
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t4\t38\t1\npids\t8\t1\t1\n",
        );
        host.write("/sys/fs/cgroup/unified/cgroup.controllers", "");
        host.write("/sys/fs/cgroup/pids/cgroup.procs", "");
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.roots().path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn roots(&self) -> HostRoots {
        HostRoots::new(self.directory.path())
    }

    fn group(&self, hierarchy: Hierarchy, path: &str) -> CgroupId {
        let mount = match hierarchy {
            Hierarchy::Unified => "/sys/fs/cgroup/unified",
            Hierarchy::Legacy => "/sys/fs/cgroup/pids",
        };
        self.write(&format!("{mount}{path}/cgroup.procs"), "");
        let id = self.roots().path(mount).join(&path[1..]).metadata().unwrap().ino();
        CgroupId { hierarchy, id }
    }
}

#[test]
fn what_exists_is_found_in_both_hierarchies_and_stays_known_when_it_is_gone() {
    let host = Host::new();
    let unified = host.group(Hierarchy::Unified, "/kubepods.slice/a");
    let legacy = host.group(Hierarchy::Legacy, "/kubepods/b/c");
    let cgroups = Cgroups::new(&host.roots());
    assert_eq!(cgroups.path(unified).as_deref(), Some("/kubepods.slice/a"));
    assert_eq!(cgroups.path(legacy).as_deref(), Some("/kubepods/b/c"));
    std::fs::remove_dir_all(host.roots().path("/sys/fs/cgroup/pids/kubepods")).unwrap();
    assert_eq!(cgroups.path(legacy).as_deref(), Some("/kubepods/b/c"));
}

#[test]
fn a_created_group_is_known_although_it_was_never_scanned() {
    let host = Host::new();
    let cgroups = Cgroups::new(&host.roots());
    cgroups.add_created(8, 77, "/kubepods/pod1");
    cgroups.add_created(0, 77, "/system.slice");
    cgroups.add_created(4, 78, "/of/another/controller");
    let path = |hierarchy, id| cgroups.path(CgroupId { hierarchy, id });
    assert_eq!(path(Hierarchy::Legacy, 77).as_deref(), Some("/kubepods/pod1"));
    assert_eq!(path(Hierarchy::Unified, 77).as_deref(), Some("/system.slice"));
    assert_eq!(path(Hierarchy::Legacy, 78), None);
    let new: Vec<_> = cgroups.take_new().into_iter().map(|(id, _)| id.hierarchy).collect();
    assert_eq!(new, [Hierarchy::Legacy, Hierarchy::Unified]);
    assert!(cgroups.take_new().is_empty());
}

#[test]
fn an_id_without_a_group_is_searched_once() {
    let host = Host::new();
    let cgroups = Cgroups::new(&host.roots());
    let id = CgroupId {
        hierarchy: Hierarchy::Unified,
        id: u64::MAX,
    };
    assert!(!cgroups.is_missing(id));
    assert_eq!(cgroups.path(id), None);
    assert!(cgroups.is_missing(id));
}

#[test]
fn a_group_is_populated_or_empty_or_gone_and_not_another_of_its_name() {
    let host = Host::new();
    // The group with the complete path.
    let id = host.group(Hierarchy::Unified, "/a");
    let cgroups = Cgroups::new(&host.roots());
    assert_eq!(cgroups.state(id), State::Unknown, "not known yet");
    cgroups.scan();
    assert_eq!(cgroups.state(id), State::Empty);
    host.write("/sys/fs/cgroup/unified/a/cgroup.procs", "1\n");
    assert_eq!(cgroups.state(id), State::Populated);
    cgroups.add_created(0, 5, "/a");
    let other = CgroupId { id: 5, ..id };
    assert_eq!(cgroups.state(other), State::Gone, "its path is another group's now");
    std::fs::remove_dir_all(host.roots().path("/sys/fs/cgroup/unified/a")).unwrap();
    assert_eq!(
        cgroups.state(id),
        State::Unknown,
        "the directory is no hierarchy's root, so that what it does not show may exist"
    );
}

#[test]
fn a_renamed_group_of_v1_and_those_in_it_are_found_under_their_new_names() {
    let host = Host::new();
    let [outer, inner, deep] = ["/a", "/a/b", "/a/b/c"].map(|path| host.group(Hierarchy::Legacy, path));
    let cgroups = Cgroups::new(&host.roots());
    cgroups.scan();
    let renamed = |from: &str, to: &str| {
        let path = |path: &str| host.roots().path("/sys/fs/cgroup/pids").join(path);
        std::fs::rename(path(from), path(to)).unwrap();
    };
    renamed("a", "new");
    renamed("new/b", "new/b2");
    let other = host.group(Hierarchy::Legacy, "/a");
    cgroups.add_created(8, other.id, "/a");
    assert_eq!(cgroups.state(deep), State::Empty, "without an event");
    assert_eq!(cgroups.path(deep).as_deref(), Some("/new/b2/c"));
    assert_eq!(cgroups.path(inner).as_deref(), Some("/new/b2"));
    assert_eq!(cgroups.path(outer).as_deref(), Some("/new"));
    assert_eq!(cgroups.path(other).as_deref(), Some("/a"));
    let renamings = cgroups.renamings();
    cgroups.add_created(8, outer.id, "/newest");
    assert_eq!(cgroups.path(deep).as_deref(), Some("/newest/b2/c"), "by an event");
    assert!(cgroups.renamings() > renamings);
    assert_eq!(cgroups.path(other).as_deref(), Some("/a"));
}

#[test]
fn a_created_group_without_a_path_is_found_in_the_file_system() {
    let host = Host::new();
    let cgroups = Cgroups::new(&host.roots());
    let unified = host.group(Hierarchy::Unified, "/kubepods.slice/a");
    cgroups.find_created(0, unified.id);
    cgroups.find_created(0, u64::MAX);
    assert_eq!(cgroups.path(unified).as_deref(), Some("/kubepods.slice/a"));
    let gone = CgroupId {
        id: u64::MAX,
        ..unified
    };
    assert_eq!(cgroups.path(gone), None);
}

#[test]
fn ten_thousand_groups_a_second_for_an_hour_stay_bounded() {
    let mut paths = PathCache::new(&Host::new().roots());
    let start = Instant::now();
    for number in 0..100_000u64 {
        let id = CgroupId {
            hierarchy: Hierarchy::Unified,
            id: number,
        };
        paths.insert(
            id,
            format!("/pod{number}").into(),
            start + std::time::Duration::from_micros(number * 100),
        );
    }
    let kept = (0..100_000)
        .filter(|id| {
            paths
                .peek(CgroupId {
                    hierarchy: Hierarchy::Unified,
                    id: *id,
                })
                .is_some()
        })
        .collect::<Vec<_>>();
    assert!(
        kept.len() <= 32_768 && kept.contains(&99_999) && !kept.contains(&0),
        "{}",
        kept.len()
    );
    assert!(paths.take_new().len() <= 4096);
}
