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
            Hierarchy::Further(_) => "/sys/fs/cgroup/memory",
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
    cgroups.add_created(4, 77, "/of/memory");
    cgroups.add_created(7, 78, "/of/another/hierarchy");
    let path = |hierarchy, id| cgroups.path(CgroupId { hierarchy, id });
    assert_eq!(path(Hierarchy::Legacy, 77).as_deref(), Some("/kubepods/pod1"));
    assert_eq!(path(Hierarchy::Unified, 77).as_deref(), Some("/system.slice"));
    assert_eq!(
        cgroups.path(CgroupId::captured(0x2fed_cb00_0000_004d)).as_deref(),
        Some("/of/memory")
    );
    assert_eq!(path(Hierarchy::Legacy, 78), None);
    let new: Vec<_> = cgroups.take_new().into_iter().map(|(id, _)| id.hierarchy).collect();
    assert_eq!(new, [Hierarchy::Legacy, Hierarchy::Unified, Hierarchy::Further(2)]);
    assert!(cgroups.take_new().is_empty());
}

#[test]
fn the_hierarchies_are_known_by_places_that_do_not_depend_on_others() {
    let of = |table: &str| {
        let captured = Controllers::parse(table).captured();
        captured.iter().map(|v1| (v1.controller, v1.place)).collect::<Vec<_>>()
    };
    let all = "#subsys_name hierarchy\ncpuset 3\ncpu 1\nmemory 4\ndevices 5\nfreezer 6\npids 8\n";
    assert_eq!(of(all), [("freezer", 1), ("pids", 0), ("memory", 2), ("cpuset", 3)]);
    assert_eq!(of("memory 4\npids 0\n"), [("memory", 0)]);
    assert_eq!(
        of("pids 4\nmemory 4\ncpu 1\n"),
        [("pids", 0), ("cpu", 5)],
        "mounted together"
    );
    assert_eq!(of("pids 0\nmemory 0\ncpu 0\n"), []);
    assert_eq!(of("devices 9\n"), [("devices", 4)]);
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
    std::fs::rename(
        host.roots().path("/sys/fs/cgroup/unified/a"),
        host.roots().path("/sys/fs/cgroup/unified/b"),
    )
    .unwrap();
    let other = host.group(Hierarchy::Unified, "/a");
    cgroups.add_created(0, other.id, "/a");
    assert_eq!(cgroups.state(id), State::Gone, "its path is another group's now");
    assert_eq!(cgroups.state(other), State::Empty);
    std::fs::remove_dir_all(host.roots().path("/sys/fs/cgroup/unified/a")).unwrap();
    assert_eq!(cgroups.state(other), State::Gone);
}

/// In a private namespace the directory is no hierarchy's root, and the kernel's paths begin above it.
#[test]
fn a_group_below_a_private_root_is_found_by_the_path_of_the_kernel_and_seen_to_go() {
    for hierarchy in [Hierarchy::Unified, Hierarchy::Legacy] {
        let host = Host::new();
        let number = if hierarchy == Hierarchy::Unified { 0 } else { 8 };
        let cgroups = Cgroups::new(&host.roots());
        cgroups.scan();
        let id = host.group(hierarchy, "/kubelet.slice/pod1/c1");
        cgroups.add_created(number, id.id, "/docker/0a1b/kubelet.slice/pod1/c1");
        assert_eq!(cgroups.state(id), State::Empty);
        let mount = if number == 0 { "unified" } else { "pids" };
        host.write(
            &format!("/sys/fs/cgroup/{mount}/kubelet.slice/pod1/c1/cgroup.procs"),
            "7\n0\n",
        );
        assert_eq!(cgroups.processes(id), [7], "0 is of another process namespace");
        // It ends before anything is asked of it.
        let short = host.group(hierarchy, "/kubelet.slice/pod1/c2");
        cgroups.add_created(number, short.id, "/docker/0a1b/kubelet.slice/pod1/c2");
        let pod = host.roots().path(format!("/sys/fs/cgroup/{mount}/kubelet.slice/pod1"));
        std::fs::remove_dir_all(pod).unwrap();
        assert_eq!(cgroups.state(id), State::Gone);
        assert_eq!(cgroups.state(short), State::Gone);
        assert_eq!(cgroups.path(id).as_deref(), Some("/docker/0a1b/kubelet.slice/pod1/c1"));
    }
}

/// The file systems show none of these groups, or only one of the same path.
#[test]
fn a_group_outside_of_the_private_root_lives_while_a_process_names_it() {
    let host = Host::new();
    let inside = host.group(Hierarchy::Unified, "/system.slice/cron.service");
    host.write("/proc/1/cgroup", "0::/init.scope\n");
    host.write("/proc/70/cgroup", "0::/../../system.slice/cron.service\n");
    host.write("/proc/71/cgroup", "8:pids:/kubepods/pod2/c3\n0::/\n");
    let cgroups = Cgroups::new(&host.roots());
    cgroups.scan();
    let state = |number, id, path| {
        cgroups.add_created(number, id, path);
        let hierarchy = if number == 0 {
            Hierarchy::Unified
        } else {
            Hierarchy::Legacy
        };
        cgroups.state(CgroupId { hierarchy, id })
    };
    assert_eq!(state(0, u64::MAX, "/system.slice/cron.service"), State::Populated);
    assert_eq!(
        state(8, u64::MAX - 1, "/docker/0a1b/kubepods/pod2/c3"),
        State::Populated
    );
    assert_eq!(state(0, u64::MAX - 2, "/system.slice/ended.service"), State::Gone);
    assert_eq!(cgroups.state(inside), State::Empty);
}

/// Runtimes name the groups in their containers alike (crun's `container`, systemd's `init.scope`), and batch systems those in
/// their jobs.
#[test]
fn a_group_outside_ends_although_another_has_the_same_last_name() {
    let host = Host::new();
    let [ended, lives] = ["a", "b"].map(|digit| digit.repeat(64));
    let pairs = [
        (
            format!("/system.slice/crio-{ended}.scope/container"),
            format!("/system.slice/crio-{lives}.scope/container"),
        ),
        (
            format!("/machine.slice/libpod-{ended}.scope/container"),
            format!("/machine.slice/libpod-{lives}.scope/container"),
        ),
        (
            format!("/docker/{ended}/init.scope"),
            format!("/docker/{lives}/init.scope"),
        ),
        (
            "/slurm/uid_1000/job_1/step_0/task_0".to_owned(),
            "/slurm/uid_1000/job_2/step_0/task_0".to_owned(),
        ),
    ];
    // The reader's own one is called the same too.
    host.write("/proc/1/cgroup", "0::/container\n");
    host.write("/proc/2/cgroup", "0::/../..\n");
    for (pid, (_, lives)) in pairs.iter().enumerate() {
        host.write(&format!("/proc/{}/cgroup", 70 + pid), &format!("0::/../..{lives}\n"));
    }
    let cgroups = Cgroups::new(&host.roots());
    cgroups.scan();
    let mut number = u64::MAX;
    let mut state = |path: &str| {
        number -= 1;
        cgroups.add_created(0, number, path);
        let hierarchy = Hierarchy::Unified;
        cgroups.state(CgroupId { hierarchy, id: number })
    };
    for (ended, lives) in &pairs {
        assert_eq!(state(ended), State::Gone, "{ended}");
        assert_eq!(state(lives), State::Populated, "{lives}");
    }
}

/// Without the host's process namespace nothing can be concluded from what is not seen.
#[test]
fn a_group_outside_is_unknown_where_only_the_own_processes_are_visible() {
    let host = Host::new();
    for pid in [1, 2, 3] {
        host.write(&format!("/proc/{pid}/cgroup"), "0::/\n");
    }
    let cgroups = Cgroups::new(&host.roots());
    cgroups.scan();
    cgroups.add_created(0, u64::MAX, "/system.slice/x.service");
    let hierarchy = Hierarchy::Unified;
    assert_eq!(
        cgroups.state(CgroupId {
            hierarchy,
            id: u64::MAX
        }),
        State::Unknown
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
