//! A call that hangs ends nothing of the GPUs that work.

use std::fs::File;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::command;
use super::nvml_support::{Fake, h100, uuid};
use super::program_support::{Running, wait_for};

#[test]
fn readings_of_healthy_gpus_do_not_end_while_a_call_for_another_hangs() {
    // Shorter than a third of the time limit of a call.
    let mut periods = vec![2, 3];
    let mut ended = Vec::new();
    // A reading may be late by a period: one of several tries tells, as the machine may stand still for longer than that.
    for _ in 0..6 {
        let hung: Vec<_> = periods.iter().map(|period| (*period, Hung::start(*period))).collect();
        periods.clear();
        for (period, hung) in hung {
            ended = hung.ended();
            if !ended.is_empty() {
                periods.push(period);
            }
        }
        if periods.is_empty() {
            return;
        }
    }
    panic!("{periods:?}: {ended:#?}");
}

/// An agent whose third GPU hangs, and what it prints.
struct Hung {
    _agent: Running,
    _fake: Fake,
    output: PathBuf,
}

impl Hung {
    fn start(seconds: u32) -> Self {
        let mut fake = Fake::new((0..3).map(h100).collect());
        let output = fake.directory().join("lines");
        let set = format!("nvidia.period={seconds}s");
        let mut command = command(&fake, &["--stdout", "--format", "json", "--set", "http.enabled=false"]);
        command.args(["--set", &set]).stdout(File::create(&output).unwrap());
        let agent = Running::start(command);
        wait_for("a reading", || {
            let text = std::fs::read_to_string(&output).unwrap();
            text.contains("hw.power").then_some(())
        });
        fake.change(|state| state["devices"][2]["hang"] = json!({"nvmlDeviceGetPowerUsage": "forever"}));
        Self {
            _agent: agent,
            _fake: fake,
            output,
        }
    }

    fn lines(&self, name: &str, gpu: usize) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.output).unwrap();
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let all = complete
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|line| line["name"] == name && line["attributes"]["hw.id"] == uuid(gpu))
            .collect()
    }

    /// The lines by which readings of the others have ended once that of the one that hangs has.
    fn ended(self) -> Vec<Value> {
        let ended = |gpu: usize| -> Vec<Value> {
            let lines = self.lines("hw.power", gpu).into_iter();
            lines.filter(|line| line["value"].is_null()).collect()
        };
        wait_for("the suspension", || {
            (!self.lines("nvidia.reading.suspended", 2).is_empty()).then_some(())
        });
        wait_for("the end of what hangs", || (!ended(2).is_empty()).then_some(()));
        (0..2).flat_map(ended).collect()
    }
}
