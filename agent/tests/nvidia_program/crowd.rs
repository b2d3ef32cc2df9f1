//! A GPU with more processes than one reading can tell.

use serde_json::{Value, json};

use super::nvml_support::{Fake, GIB, h100, uuid};
use super::program_support::wait_for;
use super::{Agent, body, samples};

/// No process has such an id: the kernel's highest is 4194304.
const STRANGER: u32 = 900_000_000;

/// So many processes that the node does not show, of the GPU with that index.
fn strangers(gpu: u32, count: u32) -> Value {
    let first = STRANGER + gpu * 100_000;
    let all = (first..first + count).map(|pid| json!({"pid": pid, "memory": 1 << 20}));
    all.collect::<Vec<Value>>().into()
}

#[test]
fn the_views_count_processes_that_have_no_series() {
    let mut gpus: Vec<Value> = (0..8).map(h100).collect();
    for gpu in 0..7 {
        gpus[gpu as usize]["compute"] = strangers(gpu, 600);
    }
    gpus[7]["compute"] = strangers(7, 3);
    let crowd = (Fake::new(gpus), vec![600.0; 7], 3.0);
    let mut gpus = vec![h100(0), h100(1)];
    // More than one reading can tell.
    gpus[0]["compute"] = strangers(0, 15_000);
    let flood = (Fake::new(gpus), vec![15_000.0], 0.0);
    for (fake, crowds, last) in [crowd, flood] {
        let agent = Agent::start(&fake);
        let expected = [crowds.clone(), vec![last]].concat();
        wait_for(&format!("{expected:?}"), || {
            (samples(&body(agent.processes), "gpu_process_count", &[]) == expected).then_some(())
        });
        let text = body(agent.processes) + &body(agent.node);
        let value = |name| samples(&text, name, &[]);
        assert_eq!(value("gpu_total_processes"), [expected.iter().sum::<f64>()]);
        // By their load, whatever has a process there.
        assert_eq!(value("hw_gpu_used_count"), [expected.len() as f64]);
        let without = expected.iter().filter(|count| **count == 0.0).count();
        let idle = samples(&text, "gpu_process_info", &[("status", "idle")]);
        assert_eq!(idle.len(), without);
    }
}

#[test]
fn a_crowd_on_one_gpu_leaves_the_others_and_the_count_of_its_processes() {
    let ours = std::process::id();
    let mut gpus = vec![h100(0), h100(1)];
    let mut crowd: Vec<Value> = (0..15_000)
        .map(|one| json!({"pid": STRANGER + one, "memory": 1 << 20}))
        .collect();
    crowd.push(json!({"pid": ours, "memory": GIB}));
    gpus[0]["compute"] = crowd.into();
    gpus[1]["compute"] = json!([{"pid": ours, "memory": 2 * GIB}]);
    let fake = Fake::new(gpus);
    // All of them belong to nobody, so that nobody's series are left out at random otherwise.
    let agent = Agent::with(&fake, &["--set", "limits.series_per_instrument=20000"]);
    let pid = ours.to_string();
    let memory = |text: &str, gpu: usize| {
        let of = [("hw_id", &*uuid(gpu)), ("process_pid", pid.as_str())];
        samples(text, "accel_process_memory_usage_bytes", &of)
    };
    let text = agent.until("both GPUs", |text| {
        memory(text, 1) == [(2 * GIB) as f64] && memory(text, 0) == [GIB as f64]
    });
    let count = |gpu: usize| samples(&text, "nvidia_processes", &[("hw_id", &uuid(gpu))]);
    assert_eq!((count(0), count(1)), (vec![15_001.0], vec![1.0]));
    let skipped = [("agent_sampler", "nvidia"), ("agent_reason", "too_many")];
    let skipped = samples(&text, "agent_sampler_skipped_total", &skipped);
    assert!(skipped[0] > 10_000.0, "{skipped:?}");
    for reason in ["protocol", "exited", "deadline"] {
        let of = [("agent_sampler", "nvidia"), ("agent_reason", reason)];
        assert_eq!(samples(&text, "agent_worker_restarts_total", &of), [0.0], "{reason}");
    }
}
