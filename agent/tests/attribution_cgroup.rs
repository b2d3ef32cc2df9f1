//! Parsing of cgroup paths, for the layouts of every runtime, cgroup driver and hierarchy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use accelscope_core::cgroup::{Cgroup, Delegated};

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
