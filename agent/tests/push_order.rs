//! What is pushed of a series is in the order of time, and it ends only when it has ended.
#![cfg(feature = "nvidia")]
#![allow(clippy::unwrap_used, reason = "a test program")]

mod nvml_support;
mod program_support;
mod receiver_support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use nvml_support::{Fake, h100, mig, uuid};
use program_support::{Running, wait_for};
use receiver_support::{Pushed, Receiver, assert_ordered};
use serde_json::json;

fn agent(fake: &Fake, receiver: &Receiver) -> Running {
    agent_with(fake, receiver, &["http.enabled=false".to_owned()])
}

fn agent_with(fake: &Fake, receiver: &Receiver, more: &[String]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().stdin(Stdio::null());
    let mut settings = receiver.settings();
    settings.extend(fake.settings());
    settings.extend(more.iter().cloned());
    for setting in settings {
        command.args(["--set", &setting]);
    }
    Running::start(command)
}

/// The points of each series of GPM so far, once there are so many of each.
fn wait_for_gpm(receiver: &Receiver, series: usize, values: usize) -> BTreeMap<String, Vec<Pushed>> {
    wait_for("utilization by GPM", || {
        let mut all: BTreeMap<String, Vec<Pushed>> = BTreeMap::new();
        for point in receiver.of("nvidia.gpm.utilization") {
            all.entry(point.series()).or_default().push(point);
        }
        let are_enough = all.values().all(|points| points.len() >= values);
        (all.len() >= series && are_enough).then_some(all)
    })
}

/// The first value of a GPU and of an instance is read after all GPUs, in a part of its own, and the next ones with the GPU.
#[test]
fn a_series_that_moves_from_one_part_to_another_does_not_end() {
    let mut whole = h100(0);
    whole["gpm"]["metrics"] = json!({"1": 50.0, "2": 12.5, "5": 100.0});
    let mut parted = h100(1);
    parted["mig"] =
        json!({"mode": 1, "slots": [mig(1, 1, 0, "1g.10gb", [1, 1], 10), mig(1, 2, 0, "1g.10gb", [1, 1], 10)]});
    parted["gpm"]["instances"] = json!({"1": {"1": 40.0}, "2": {"1": 65.0}});
    let mut fake = Fake::new(vec![whole, parted]);
    let receiver = Receiver::start();
    let mut agent = agent(&fake, &receiver);
    wait_for_gpm(&receiver, 5, 3);
    // One that appears later moves later.
    fake.change(|state| {
        let mut late = h100(2);
        late["gpm"]["metrics"] = json!({"1": 30.0});
        state["devices"].as_array_mut().unwrap().push(late);
    });
    let all = wait_for_gpm(&receiver, 6, 4);
    for (series, points) in &all {
        assert!(points.iter().all(|point| !point.is_end), "{series} ended: {points:#?}");
    }
    assert!(all.keys().any(|series| series.contains(&uuid(2))), "{:?}", all.keys());
    agent.terminate();
    assert_eq!(agent.exit_code(), Some(0));
    assert_ordered(&receiver.points());
}

/// A GPU that is lost and comes back: each end is newer than what was read before it, and older than what is read later.
#[test]
fn a_series_that_ends_and_comes_back_is_in_the_order_of_time() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let receiver = Receiver::start();
    let _agent = agent(&fake, &receiver);
    let of_second = || {
        let mut points = receiver.of("hw.temperature");
        points.retain(|point| point.has(&[("hw.id", &uuid(1))]));
        points
    };
    wait_for("the second GPU", || (!of_second().is_empty()).then_some(()));
    fake.change(|state| {
        state["devices"].as_array_mut().unwrap().truncate(1);
        state["generation"] = json!(2);
    });
    wait_for("its end", || of_second().iter().any(|point| point.is_end).then_some(()));
    fake.change(|state| {
        state["devices"].as_array_mut().unwrap().push(h100(1));
        state["generation"] = json!(3);
    });
    wait_for("its return", || {
        of_second().last().is_some_and(|last| !last.is_end).then_some(())
    });
    assert_ordered(&receiver.points());
}

/// A counter of rare events that is first pushed as 1 has never increased, and no alert sees the event.
#[test]
fn counters_of_the_agent_begin_at_zero_on_both_ways() {
    let (fake, receiver, address) = (Fake::new(vec![h100(0)]), Receiver::start(), free_port::free_address());
    let _agent = agent_with(&fake, &receiver, &[format!("http.listen={address}")]);
    let page = wait_for("the page", || {
        program_support::get(address, "/metrics").map(|answer| answer.body)
    });
    for born in [
        "agent_sampler_runs_total{agent_outcome=\"retry\",agent_sampler=\"nvidia\"} 0",
        "agent_export_dropped_total{agent_reason=\"queue_full\",destination=\"default\"} 0",
        "agent_export_requests_total{agent_outcome=\"rejected\",destination=\"default\"} 0",
        "agent_series_forgotten_total 0",
        "agent_log_suppressed_total 0",
    ] {
        assert!(page.lines().any(|line| line == born), "{born} is missing in\n{page}");
    }
    // Not known before it happens: a path of the listener.
    let path = [("http.route", "/healthz")];
    assert!(!receiver.of("agent.http.requests").iter().any(|point| point.has(&path)));
    program_support::get(address, "/healthz").unwrap();
    let points = wait_for("its requests", || {
        let mut points = receiver.of("agent.http.requests");
        points.retain(|point| point.has(&path));
        (points.len() >= 3).then_some(points)
    });
    let values: Vec<_> = points.iter().map(|point| point.value.unwrap()).collect();
    assert_eq!(values[..3], [0.0, 1.0, 1.0]);
    assert_ordered(&receiver.points());
}
