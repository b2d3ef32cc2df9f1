//! A call that hangs ends nothing of the GPUs that work.

use std::fs::File;

use serde_json::{Value, json};

use super::command;
use super::nvml_support::{Fake, h100, uuid};
use super::program_support::{Running, wait_for};

#[test]
fn readings_of_healthy_gpus_do_not_end_while_a_call_for_another_hangs() {
    // Shorter than a third of the time limit of a call.
    let agents = ["1s", "2s"].map(|period| {
        let mut fake = Fake::new((0..3).map(h100).collect());
        let output = fake.directory().join("lines");
        let set = format!("nvidia.period={period}");
        let mut command = command(&fake, &["--stdout", "--format", "json", "--set", "http.enabled=false"]);
        command.args(["--set", &set]).stdout(File::create(&output).unwrap());
        let agent = Running::start(command);
        wait_for("a reading", || {
            let text = std::fs::read_to_string(&output).unwrap();
            text.contains("hw.power").then_some(())
        });
        fake.change(|state| state["devices"][2]["hang"] = json!({"nvmlDeviceGetPowerUsage": "forever"}));
        (fake, output, agent)
    });
    for (_fake, output, _agent) in agents {
        let lines = |name: &str, gpu: usize| -> Vec<Value> {
            let text = std::fs::read_to_string(&output).unwrap();
            let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let all = complete
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            all.filter(|line| line["name"] == name && line["attributes"]["hw.id"] == uuid(gpu))
                .collect()
        };
        wait_for("the suspension", || {
            (!lines("nvidia.reading.suspended", 2).is_empty()).then_some(())
        });
        for gpu in 0..2 {
            let ended: Vec<_> = lines("hw.power", gpu)
                .into_iter()
                .filter(|line| line["value"].is_null())
                .collect();
            assert!(ended.is_empty(), "GPU {gpu}: {ended:#?}");
        }
        let ends = lines("hw.power", 2);
        assert!(ends.iter().any(|line| line["value"].is_null()), "what hangs ends");
    }
}
