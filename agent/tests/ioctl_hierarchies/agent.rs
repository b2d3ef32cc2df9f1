//! A running agent and the newest line of each series.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use skip_test::skip;

pub(crate) const CALLS: &str = "accel.ioctl.calls";
pub(crate) const HOLDERS: &str = "accel.device.processes";
const PATIENCE: Duration = Duration::from_secs(60);

/// By name and attributes.
type Series = BTreeMap<(String, String), Value>;

/// Ends with the test.
pub(crate) struct Agent {
    child: Child,
    series: Arc<Mutex<Series>>,
}

impl Agent {
    /// Waits until it watches `/dev/full`. `None` if this machine does not allow tracing.
    pub(crate) fn start() -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
        command.env_clear().args(["--stdout", "--format", "json"]);
        for set in [
            "hailo.enabled=false",
            "ascend.enabled=false",
            "ioctl.extra_devices=/dev/full=other",
        ] {
            command.args(["--set", set]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let series: Arc<Mutex<Series>> = Arc::default();
        let (to, lines) = (
            Arc::clone(&series),
            BufReader::new(child.stdout.take().unwrap()).lines(),
        );
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap();
                let name = line["name"].as_str().unwrap().to_owned();
                to.lock().unwrap().insert((name, line["attributes"].to_string()), line);
            }
        });
        let agent = Self { child, series };
        let hooks = |agent: &Self| agent.values("agent.ioctl.devices", |line| line["agent.ioctl.hook"].is_string());
        agent.wait("the agent to watch", |agent| !hooks(agent).is_empty());
        let seen = agent.values("agent.ioctl.devices", |line| line["agent.ioctl.hook"] == "scan");
        if !seen.is_empty() {
            skip("ebpf", "the kernel allows no hook");
            return None;
        }
        Some(agent)
    }

    /// Sum of the series of that name that belong to the container.
    pub(crate) fn sum(&self, name: &str, id: &str) -> f64 {
        self.values(name, |attributes| attributes["container.id"] == id)
            .iter()
            .sum()
    }

    fn values(&self, name: &str, is_one: impl Fn(&Value) -> bool) -> Vec<f64> {
        let series = self.series.lock().unwrap();
        let lines = series
            .iter()
            .filter(|((of, _), line)| of == name && is_one(&line["attributes"]));
        lines.filter_map(|(_, line)| line["value"].as_f64()).collect()
    }

    pub(crate) fn wait(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_there(self) {
            if Instant::now() >= until {
                let series = self.series.lock().unwrap();
                let about = |name: &str| [CALLS, HOLDERS].contains(&name);
                let lines = series.iter().filter(|((name, _), _)| about(name));
                let lines: Vec<String> = lines.map(|(_, line)| line.to_string()).collect();
                panic!("waited for {what}\n{}", lines.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
