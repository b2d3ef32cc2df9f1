//! Parsing of cgroup paths, for the layouts of every runtime, cgroup driver and hierarchy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use accelscope_core::cgroup::{Cgroup, Delegated};
use accelscope_core::host::HostRoots;
use accelscope_core::host::cgroups::Cgroups;

const SHAPES: &str = include_str!("fixtures/cgroup/shapes.txt");

fn shown(cgroup: &Cgroup) -> String {
    let parts = [
        ("container", &cgroup.container_id),
        ("name", &cgroup.container_name),
        ("pod", &cgroup.pod_uid),
        ("unit", &cgroup.unit),
    ];
    let parts = parts
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    let job = cgroup.job.as_ref().map(|job| {
        let step = job
            .step
            .as_ref()
            .map(|step| format!(" step={step}"))
            .unwrap_or_default();
        format!("{:?}={}{step}", job.scheduler, job.id).to_lowercase()
    });
    parts.chain(job).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_shape_names_what_it_should() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for case in SHAPES.split("\n== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.rsplit_once("->").unwrap();
        let found = shown(&Cgroup::parse(text));
        cases += 1;
        if found != expected.trim() {
            wrong.push(format!("{title}: found `{found}`, not `{}`", expected.trim()));
        }
    }
    assert!(cases > 50, "the fixtures were not read: {cases}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn order_of_the_hierarchies_does_not_matter() {
    for case in SHAPES.split("\n== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let text = rest.rsplit_once("->").unwrap().0;
        let turned: Vec<&str> = text.lines().rev().collect();
        assert_eq!(Cgroup::parse(text), Cgroup::parse(&turned.join("\n")), "{title}");
    }
}

const OWN: &str = "3f1c9a5b7e2d4860a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7081";
const OUTER: &str = "9b8a7c6d5e4f30211203f4e5d6c7b8a990817263544536271809fafbfcfdfeff";
const MANAGER: &str = "/user.slice/user-1000.slice/user@1000.service";

/// A path, the group in it that another user than root has been given, what it names, who has named that, and what is around it.
type Case = (
    &'static str,
    Option<(usize, u32)>,
    &'static str,
    &'static str,
    &'static str,
);

/// `OWN`, `OUTER` and `MANAGER` stand for the above.
const CLAIMS: &[Case] = &[
    (
        "/system.slice/important.service",
        None,
        "unit=important.service",
        "",
        "",
    ),
    (
        "MANAGER/app.slice/important.service",
        None,
        "unit=user@1000.service",
        "",
        "user-1000.slice",
    ),
    (
        "MANAGER/app.slice/important.service",
        Some((3, 1000)),
        "unit=user@1000.service",
        "",
        "user-1000.slice",
    ),
    // What is owned further in does not take from what the user's manager has.
    (
        "MANAGER/app.slice/important.service/x",
        Some((6, 100_000)),
        "unit=user@1000.service",
        "",
        "user-1000.slice",
    ),
    ("/given/important.service", Some((1, 7)), "", "user 7", "user 7"),
    (
        "/given/system.slice/important.service",
        Some((1, 7)),
        "",
        "user 7",
        "user 7",
    ),
    ("/given.slice/important.service", Some((1, 7)), "", "user 7", "user 7"),
    ("/given.slice/important.scope", Some((1, 7)), "", "user 7", "user 7"),
    (
        "/given/user.slice/user-1000.slice/user@1000.service/x",
        Some((1, 7)),
        "",
        "user 7",
        "user 7",
    ),
    (
        "/given/user.slice/user-1000.slice/session-4.scope",
        Some((1, 7)),
        "",
        "user 7",
        "user 7",
    ),
    // Of what root has named, the user's is only what is in it.
    (
        "/system.slice/infer.service",
        Some((2, 7)),
        "unit=infer.service",
        "",
        "",
    ),
    (
        "/system.slice/infer.service/important.service",
        Some((2, 7)),
        "unit=infer.service",
        "",
        "",
    ),
    (
        "/slurm/uid_7/job_1/step_0/task_0",
        Some((4, 7)),
        "slurm=1 step=0",
        "user 7",
        "user 7",
    ),
    ("/given/slurm/uid_0/job_1/step_0", Some((1, 7)), "", "user 7", "user 7"),
    (
        "/given/pbs_jobs.service/jobid/1.server",
        Some((1, 7)),
        "",
        "user 7",
        "user 7",
    ),
    ("/given/lsf/cluster1/job.1.2.3", Some((1, 7)), "", "user 7", "user 7"),
    ("/open.slice/important.service", Some((1, 7)), "", "user 7", "user 7"),
    // Containers: root's, a user's, and those in another.
    ("/docker/OWN", None, "container=OWN", "", "OWN"),
    ("/docker/OWN", Some((2, 100_000)), "container=OWN", "", "OWN"),
    ("/given/docker/OWN", Some((1, 7)), "container=OWN", "user 7", "user 7"),
    ("/docker-OWN.scope", Some((0, 7)), "container=OWN", "user 7", "user 7"),
    (
        "MANAGER/user.slice/libpod-OWN.scope/container",
        None,
        "container=OWN",
        "user 1000",
        "user-1000.slice",
    ),
    (
        "MANAGER/user.slice/libpod-OWN.scope/container",
        Some((6, 100_000)),
        "container=OWN",
        "user 1000",
        "user-1000.slice",
    ),
    (
        "MANAGER/app.slice/infer.service/libpod-payload-OWN",
        None,
        "container=OWN unit=user@1000.service",
        "user 1000",
        "user-1000.slice",
    ),
    (
        "/given/infer.service/libpod-payload-OWN",
        Some((1, 7)),
        "container=OWN",
        "user 7",
        "user 7",
    ),
    ("/lxc.payload.victim", Some((1, 100_000)), "name=victim", "", "victim"),
    ("/given/lxc/victim", Some((1, 7)), "name=victim", "user 7", "user 7"),
    (
        "/given/lxc.payload.victim",
        Some((1, 7)),
        "name=victim",
        "user 7",
        "user 7",
    ),
    (
        "MANAGER/machine-victim.scope",
        None,
        "name=victim",
        "user 1000",
        "user-1000.slice",
    ),
    (
        "MANAGER/systemd-nspawn@victim.service",
        None,
        "name=victim",
        "user 1000",
        "user-1000.slice",
    ),
    (
        "/given/buildkit/yj5yqg9nbbnzvmjyxxr2aqgvl",
        Some((1, 7)),
        "container=yj5yqg9nbbnzvmjyxxr2aqgvl",
        "user 7",
        "user 7",
    ),
    (
        "/given/kubepods/pod1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9/OWN",
        Some((1, 7)),
        "container=OWN",
        "user 7",
        "user 7",
    ),
    (
        "/docker/OUTER/docker/OWN",
        None,
        "container=OWN",
        "container OUTER",
        "OUTER",
    ),
    (
        "/lxc/101/ns/docker/OWN",
        Some((3, 100_000)),
        "container=OWN",
        "container 101/user 100000",
        "101",
    ),
    (
        "/given/docker/OUTER/docker/OWN",
        Some((1, 7)),
        "container=OWN",
        "user 7/container OUTER",
        "user 7",
    ),
    (
        "/docker/OUTER/given/docker/OWN",
        Some((3, 7)),
        "container=OWN",
        "container OUTER/user 7",
        "OUTER",
    ),
    (
        "/docker/OUTER/user.slice/user-1000.slice/user@1000.service/x.service",
        None,
        "container=OUTER",
        "",
        "OUTER",
    ),
    (
        "/lxc/101/system.slice/x.service/libpod-payload-OWN",
        None,
        "container=OWN",
        "container 101",
        "101",
    ),
];

#[test]
fn what_a_user_or_container_has_named_is_told_from_what_root_has_named() {
    let expand = |text: &str| {
        text.replace("MANAGER", MANAGER)
            .replace("OWN", OWN)
            .replace("OUTER", OUTER)
    };
    let mut wrong = Vec::new();
    for (path, given, named, by, around) in CLAIMS {
        let delegated = given.map(|(depth, user)| Delegated { depth, user });
        let cgroup = Cgroup::of_owned([(&*expand(path), delegated)]);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let found = [shown(&cgroup), text(&cgroup.claimed_by), text(&cgroup.outermost)];
        if found != [named, by, around].map(|text| expand(text)) {
            wrong.push(format!("{path} {given:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With v1 a process has a group in each hierarchy, and its user may have been given only one of them.
#[test]
fn a_users_group_of_one_hierarchy_takes_nothing_from_what_root_has_named_in_another() {
    let given = Some(Delegated { depth: 1, user: 7 });
    for claimed in ["/given/important.service", "/given/slurm/uid_0/job_1/step_0"] {
        let unit = ("/user.slice/user-7.slice/session-4.scope", None);
        for paths in [[(claimed, given), unit], [unit, (claimed, given)]] {
            assert_eq!(shown(&Cgroup::of_owned(paths)), "unit=user-7.slice", "{claimed}");
        }
        for paths in [[(claimed, given), ("/", None)], [("/", None), (claimed, given)]] {
            assert_eq!(
                Cgroup::of_owned(paths).claimed_by.as_deref(),
                Some("user 7"),
                "{claimed}"
            );
        }
    }
}

#[test]
fn a_node_that_is_a_container_has_named_what_is_in_it() {
    for (claimed, on_node) in [
        ("/docker/OUTER/docker/OWN", None),
        ("/docker/OUTER/given/docker/OWN", Some("user 1000")),
        ("/docker/OUTER0/docker/OWN", Some("container OUTER0")),
        ("/docker/OWN", None),
    ] {
        let path = claimed
            .replace("OWN", OWN)
            .replace("OUTER0", &OUTER.replace('9', "8"))
            .replace("OUTER", OUTER);
        let given = claimed.contains("given").then_some(Delegated { depth: 3, user: 1000 });
        let found = Cgroup::of_owned([(&*path, given)]).on_node(Some(OUTER)).claimed_by;
        let expected = on_node.map(|text| text.replace("OUTER0", &OUTER.replace('9', "8")));
        assert_eq!(found, expected, "{claimed}");
    }
}

/// With the kernel's own groups, by the paths that `/proc/<pid>/cgroup` has of them, also to a reader in a namespace of its own.
#[test]
fn what_root_has_given_away_is_seen_in_every_hierarchy() {
    let hierarchies = [
        ("/sys/fs/cgroup/pids", "8:pids:"),
        ("/sys/fs/cgroup/memory", "4:memory:"),
        ("/sys/fs/cgroup/unified", "0::"),
        ("/sys/fs/cgroup", "0::"),
    ];
    let mut tried = 0;
    for (mount, line) in hierarchies
        .into_iter()
        .filter(|(mount, _)| Path::new(mount).join("cgroup.procs").exists())
    {
        let top = format!("accelscope-test-given-{}.slice", std::process::id());
        let group = |path: &str| Path::new(mount).join(&top).join(path);
        let make = |path: &str, user: u32| -> std::io::Result<()> {
            std::fs::create_dir(group(path))?;
            chown(group(path), Some(user), None)
        };
        let made = [
            "",
            "given",
            "given/a.service",
            "open",
            "open/b",
            "own.service",
            "own.service/c",
        ];
        let users = [0, 7, 0, 0, 7, 0, 0];
        let result = made.iter().zip(users).try_for_each(|(path, user)| make(path, user));
        let opened = std::fs::set_permissions(group("open"), std::fs::Permissions::from_mode(0o777));
        let cgroups = Cgroups::new(&HostRoots::new("/"));
        let found = |path: &str, around: &str| {
            let cgroup = cgroups.parse(&format!("{line}{around}/{top}/{path}\n"));
            (cgroup.unit, cgroup.claimed_by)
        };
        let all = ["", "/../.."].map(|around| {
            let paths = ["given/a.service", "given/gone.service", "open/b", "own.service/c"];
            paths.map(|path| found(path, around))
        });
        let text = format!("{line}/{top}/open/b");
        let depths: Vec<_> = cgroups.owned(&text).into_iter().map(|(_, given)| given).collect();
        for path in made.iter().rev() {
            std::fs::remove_dir(group(path)).ok();
        }
        if let Err(error) = result.and(opened) {
            skip_test::skip(
                "cgroups",
                &format!("{mount}: cannot make and give control groups: {error}"),
            );
            continue;
        }
        tried += 1;
        let users = || (None, Some("user 7".to_owned()));
        let expected = [users(), users(), users(), (Some("own.service".to_owned()), None)];
        assert_eq!(all, [expected.clone(), expected], "{mount}");
        // Its name is the user's too.
        assert_eq!(depths, [Some(Delegated { depth: 2, user: 7 })], "{mount}");
    }
    assert!(tried > 0 || !skip_test::is_required("cgroups"), "cgroups are required");
}

#[test]
fn order_of_the_hierarchies_does_not_matter_where_only_what_is_around_a_container_differs() {
    let (id, other) = ("1".repeat(64), "2".repeat(64));
    for [one, two] in [
        [
            format!("1:pids:/docker/{other}/docker/{id}"),
            format!("0::/lxc/a/docker/{id}"),
        ],
        [
            format!("1:pids:/user-1.slice/docker-{id}.scope"),
            format!("0::/user-2.slice/docker-{id}.scope"),
        ],
        [
            format!("1:pids:/user.slice/user@7.service/docker-{id}.scope"),
            format!("0::/user.slice/user@8.service/docker-{id}.scope"),
        ],
    ] {
        let found = Cgroup::parse(&format!("{one}\n{two}\n"));
        assert_eq!(found, Cgroup::parse(&format!("{two}\n{one}\n")), "{one} {two}");
        assert_eq!(found.container_id, Some(id.clone()));
    }
}

#[test]
fn a_group_that_is_named_as_if_it_were_deleted_may_be_anothers() {
    let (id, user) = ("1".repeat(64), 1000);
    for (path, depth) in [
        (format!("/docker/{id}/ (deleted)"), 3),
        (format!("/docker/{id}/ (deleted)"), 1),
        (format!("/docker/{id} (deleted)"), 1),
    ] {
        let found = Cgroup::of_owned([(path.as_str(), Some(Delegated { depth, user }))]);
        assert_eq!(found.container_id, Some(id.clone()), "{path} {depth}");
        assert_eq!(found.user, (depth == 1).then_some(user), "{path} {depth}");
    }
}
