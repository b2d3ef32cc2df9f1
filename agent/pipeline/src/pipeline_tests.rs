use super::*;
use crate::attribution::Settings;
use crate::test_support::{ACTIVE, UTILIZATION};
use crate::{Limits, Observer};
use accelscope_core::budget::Budget;
use accelscope_core::holders::Holders;
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, Owner, Point, ProcessKey, Resource, Timestamp, key};
use accelscope_core::sampler::Descriptor;
use accelscope_core::telemetry::{Build, OwnMetrics};

fn batch(part: &str) -> Batch {
    let point = Point {
        instrument: &ACTIVE,
        attributes: Arc::new(Attributes::new([(key::HW_ID, part.into())])),
        owner: None,
        value: 1i64.into(),
        time: Timestamp::now(),
        start: None,
    };
    Batch {
        part: Part {
            sampler: "test",
            name: part.into(),
        },
        points: vec![point],
    }
}

fn pipeline(observer: Option<Observer>) -> (Pipeline, Arc<SeriesRegistry>, Arc<Status>) {
    let limits = Limits {
        series_per_instrument: 10,
        series: 10,
    };
    let registry = SeriesRegistry::new(
        &Budget::default(),
        OwnMetrics::install(Build::default()),
        Resource::default(),
        limits,
        false,
        observer,
    );
    let registry = Arc::new(registry);
    let attribution = Attribution::new(&HostRoots::new("/nonexistent"), Settings::default());
    let status = Status::new(Descriptor {
        name: "test",
        period: Duration::from_secs(1),
        deadline: Duration::from_secs(1),
    });
    let pipeline = Pipeline::new(registry.clone(), attribution, Energy::none(), Vec::new());
    (pipeline, registry, status)
}

fn run(status: &Arc<Status>, outcome: &Outcome, parts: &[&str]) -> Run {
    Run {
        status: status.clone(),
        report: Report::of(outcome),
        batches: parts.iter().map(|part| batch(part)).collect(),
        ends_others: false,
    }
}

#[test]
fn a_part_keeps_its_readings_while_its_sampler_works_and_loses_them_when_it_fails() {
    let (mut pipeline, registry, status) = pipeline(None);
    let mut live_after = |outcome: &Outcome, parts: &[&str]| {
        for age in pipeline.parts.values_mut() {
            age.read -= age.max * 2;
        }
        pipeline.process(run(&status, outcome, parts), Moment::now());
        pipeline.check_overdue();
        registry.live().len()
    };
    assert_eq!(live_after(&Outcome::Sampled, &["a", "b"]), 2);
    assert_eq!(
        live_after(&Outcome::Sampled, &["a"]),
        2,
        "b was not read anew, and still holds"
    );
    assert_eq!(live_after(&Outcome::Sampled, &[]), 2);
    assert_eq!(live_after(&Outcome::Retry("no".into()), &["a"]), 1, "b is too old");
    assert_eq!(live_after(&Outcome::Retry("no".into()), &[]), 0);
}

#[test]
fn a_fault_loses_the_readings_that_it_met_and_no_later_ones() {
    let mut faults = 1;
    let (pipeline, registry, status) = pipeline(Some(Box::new(move |_| {
        faults -= 1;
        assert!(faults < 0, "a fault of the agent");
    })));
    let (send, receive) = std::sync::mpsc::channel();
    send.send(run(&status, &Outcome::Sampled, &["a"])).unwrap();
    send.send(run(&Status::new(status.descriptor.clone()), &Outcome::Sampled, &["b"]))
        .unwrap();
    drop(send);
    pipeline.run(&receive);
    assert!(status.last().is_some_and(|report| report.is_failure()));
    assert!(
        registry
            .live()
            .iter()
            .any(|series| series.attributes.get(key::HW_ID) == Some(&"b".into()))
    );
}

#[test]
fn an_idle_pipeline_sleeps_unless_a_new_container_lacks_names() {
    let (mut pipeline, _, _) = pipeline(None);
    let now = Instant::now();
    assert_eq!(pipeline.first_overdue(now), now + check_times::LATEST);
    let path = format!("/kubepods/pod1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9/{}", "0a".repeat(32));
    pipeline.attribution.cgroups().add_created(0, 77, &path);
    pipeline.check_overdue();
    assert_eq!(pipeline.first_overdue(now), now);
}

/// Readings of a process.
fn held(part: &str, pids: &[u32]) -> Batch {
    let point = |pid: &u32| Point {
        owner: Some(Owner::Process {
            process: ProcessKey {
                pid: *pid,
                start_ticks: 1,
            },
            always_pid: false,
        }),
        instrument: &UTILIZATION,
        ..batch(part).points.remove(0)
    };
    Batch {
        points: pids.iter().map(point).collect(),
        ..batch(part)
    }
}

#[test]
fn who_holds_is_known_until_the_reading_ends_or_is_overdue() {
    let (mut pipeline, _, status) = pipeline(None);
    let holders = Holders::of_samplers(vec!["test"]);
    pipeline.attribution =
        Attribution::new(&HostRoots::new("/nonexistent"), Settings::default()).with_holders(holders.clone());
    let pids = || {
        let (_, all) = holders.now(None).unwrap();
        all.iter().map(|held| held.process.pid).collect::<Vec<u32>>()
    };
    let process = |pipeline: &mut Pipeline, batches: Vec<Batch>, ends_others| {
        let run = Run {
            batches,
            ends_others,
            ..run(&status, &Outcome::Sampled, &[])
        };
        pipeline.process(run, Moment::now());
    };
    process(&mut pipeline, vec![held("a", &[3, 4]), held("b", &[5])], false);
    assert_eq!(pids(), [3, 4, 5]);
    process(&mut pipeline, vec![held("a", &[4])], false);
    assert_eq!(pids(), [4, 5], "b was not read anew, and still holds");
    process(&mut pipeline, vec![held("a", &[4])], true);
    assert_eq!(pids(), [4], "the other parts have ended");
    for age in pipeline.parts.values_mut() {
        age.read -= age.max * 2;
    }
    pipeline.check_overdue();
    assert!(pids().is_empty(), "a sampler that hangs says nothing of now");
}
