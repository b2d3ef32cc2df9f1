//! A GPU with more processes than one reading can tell.

use serde_json::{Value, json};

use super::nvml_support::{Fake, GIB, h100, uuid};
use super::{Agent, samples};

/// No process has such an id: the kernel's highest is 4194304.
const STRANGER: u32 = 900_000_000;

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
