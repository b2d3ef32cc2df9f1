//! Each replacement of the worker is counted, with its reason.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::nvml_support::{Fake, h100, uuid};
use super::program_support::wait_for;
use super::{Agent, samples};

fn of(reason: &str) -> [(&str, &str); 2] {
    [("agent_sampler", "nvidia"), ("agent_reason", reason)]
}

fn restarts(text: &str) -> f64 {
    samples(text, "agent_worker_restarts_total", &[]).iter().sum()
}

/// A running agent that has read both GPUs without a restart.
fn started(fake: &Fake) -> Agent {
    let agent = Agent::start(fake);
    until_read(&agent, 2);
    assert!(restarts(&agent.metrics()).abs() < 1e-9);
    agent
}

fn until_read(agent: &Agent, gpus: usize) {
    agent.until("a reading", |text| samples(text, "hw_power_watts", &[]).len() == gpus);
}

#[test]
fn a_worker_that_is_replaced_because_it_hung_is_counted() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = started(&fake);
    fake.change(|state| state["devices"][0]["hang"] = json!({"nvmlDeviceGetPowerUsage": "forever"}));
    let text = agent.until("the restart", |text| restarts(text) > 0.0);
    assert_eq!(samples(&text, "agent_worker_restarts_total", &of("hung")), [1.0]);
    assert!((restarts(&text) - 1.0).abs() < 1e-9, "once");
    let id = uuid(0);
    agent.until_value(
        "nvidia_reading_suspended",
        &[("hw_id", &id), ("error_type", "hung")],
        1.0,
    );
}

#[test]
fn a_worker_that_is_killed_or_has_another_driver_is_counted() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = started(&fake);
    kill(agent.process.0.id());
    agent.until_value("agent_worker_restarts_total", &of("exited"), 1.0);
    until_read(&agent, 2);
    fake.change(|state| state["fail"] = json!({"nvmlDeviceGetPowerUsage": 18}));
    agent.until("a new driver", |text| {
        samples(text, "agent_worker_restarts_total", &of("driver_replaced"))
            .iter()
            .sum::<f64>()
            > 0.0
    });
    fake.change(|state| state["fail"] = json!({}));
    until_read(&agent, 2);
}

#[test]
fn a_list_of_gpus_that_fails_is_no_new_driver() {
    let codes = [999, 10];
    let agents = codes.map(|code| {
        let mut fake = Fake::new(vec![h100(0), h100(1)]);
        let agent = started(&fake);
        fake.change(|state| state["fail"] = json!({"nvmlDeviceGetCount_v2": code}));
        (fake, agent)
    });
    for (mut fake, agent) in agents {
        // While it lasts, the library is started anew now and then.
        let silent = |text: &str| samples(text, "agent_worker_restarts_total", &of("silent"))[0];
        let text = agent.until("the restart", |text| silent(text) > 0.0);
        assert_eq!(restarts(&text), silent(&text), "for no other reason");
        fake.change(|state| state["fail"] = json!({}));
        until_read(&agent, 2);
    }
}

#[test]
fn a_library_that_cannot_start_is_started_anew_and_that_is_counted() {
    let mut fake = Fake::new(vec![h100(0)]);
    fake.change(|state| state["init"] = json!(9));
    let agent = Agent::start(&fake);
    agent.until_value("agent_worker_restarts_total", &of("start_failed"), 1.0);
    fake.change(|state| state["init"] = json!(0));
    agent.until("a reading", |text| samples(text, "hw_power_watts", &[]).len() == 1);
}

/// Kills the worker, which is the program's only child.
fn kill(agent: u32) {
    let children = format!("/proc/{agent}/task");
    let child = wait_for("the worker", || {
        let threads = std::fs::read_dir(&children).unwrap();
        let mut pids = threads.filter_map(|thread| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("children")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        });
        pids.next()
    });
    kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
}
