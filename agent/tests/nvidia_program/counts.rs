//! Counts of the replaced tools' views: no number without GPUs that answer.

use serde_json::{Value, json};

use super::nvml_support::{Fake, GIB, h100};
use super::program_support::wait_for;
use super::{Agent, body, samples};

/// Names of all counts over the node.
const COUNTS: [&str; 4] = [
    "hw_gpu_count",
    "hw_gpu_used_count",
    "hw_gpu_type_count",
    "gpu_total_processes",
];

fn counts(agent: &Agent) -> Vec<(&'static str, f64)> {
    let text = body(agent.node) + &body(agent.processes);
    let of = |name: &'static str| samples(&text, name, &[]).into_iter().map(move |value| (name, value));
    COUNTS.into_iter().flat_map(of).collect()
}

fn used(pid: u32) -> Value {
    json!([{"pid": pid, "memory": GIB}])
}

#[test]
fn a_driver_that_does_not_answer_is_not_counted_as_no_gpu() {
    let states: [fn(&mut Value); 4] = [
        // The kernel driver is not loaded.
        |state| state["init"] = json!(9),
        |state| state["hang"] = json!({"nvmlInit_v2": "forever"}),
        |state| state["hang"] = json!({"nvmlDeviceGetCount_v2": "forever"}),
        // Every GPU is lost.
        |state| {
            for gpu in 0..2 {
                state["devices"][gpu]["lost"] = json!(true);
            }
        },
    ];
    let agents = states.map(|change| {
        let mut fake = Fake::new(vec![h100(0), h100(1)]);
        fake.change(change);
        let agent = Agent::start(&fake);
        (fake, agent)
    });
    for (_fake, agent) in &agents {
        agent.until_ready();
        assert_eq!(counts(agent), []);
        let text = body(agent.node) + &body(agent.processes);
        assert!(!text.contains("gpu_process_count{"), "{text}");
    }
}

#[test]
fn a_driver_that_hangs_later_ends_what_was_counted() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    let agent = Agent::start(&fake);
    wait_for("the counts", || (counts(&agent).len() == COUNTS.len()).then_some(()));
    fake.change(|state| state["hang"] = json!({"nvmlDeviceGetCount_v2": "forever"}));
    wait_for("the end of the counts", || counts(&agent).is_empty().then_some(()));
}

#[test]
fn a_library_that_is_not_there_is_not_counted_as_no_gpu() {
    let fake = Fake::new(vec![h100(0)]);
    std::fs::remove_file(fake.library()).unwrap();
    let agent = Agent::start(&fake);
    agent.until_ready();
    assert_eq!(counts(&agent), []);
}

#[test]
fn a_lost_gpu_is_one_of_the_node_and_its_processes_are_not_known_to_be_none() {
    let mut fake = Fake::new(vec![h100(0), h100(1)]);
    fake.change(|state| state["devices"][0]["compute"] = used(std::process::id()));
    let agent = Agent::start(&fake);
    let until = |expected: &[(&str, f64)]| {
        wait_for(&format!("{expected:?}"), || (counts(&agent) == expected).then_some(()));
    };
    let model = ("hw_gpu_type_count", 2.0);
    let all = [
        ("hw_gpu_count", 2.0),
        ("hw_gpu_used_count", 2.0),
        model,
        ("gpu_total_processes", 1.0),
    ];
    let known = [("hw_gpu_count", 2.0), model];
    until(&all);
    fake.change(|state| state["devices"][1]["lost"] = json!(true));
    until(&known);
    let of_other = samples(&body(agent.processes), "gpu_process_count", &[("gpu", "0")]);
    assert_eq!(of_other, [1.0], "what is known stays");
    fake.change(|state| state["devices"][1]["lost"] = json!(false));
    until(&all);
    // One of the lists fails, the others are read.
    fake.change(|state| state["devices"][1]["fail"] = json!({"nvmlDeviceGetComputeRunningProcesses_v3": 999}));
    until(&all[..3]);
}
