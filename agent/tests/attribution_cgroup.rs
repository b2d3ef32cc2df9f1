//! Parsing of cgroup paths, for the layouts of every runtime, cgroup driver and hierarchy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use accelscope_core::cgroup::Cgroup;

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
