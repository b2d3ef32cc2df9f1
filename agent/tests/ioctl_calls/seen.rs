//! A running agent and its output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(120);

/// The newest line of each series, by its name and attributes.
type Series = BTreeMap<(String, String), Value>;

pub(crate) struct Agent {
    child: Child,
    series: Arc<Mutex<Series>>,
    errors: Arc<Mutex<Vec<String>>>,
    decreased: Arc<Mutex<Vec<String>>>,
    ended: Arc<Mutex<Vec<Value>>>,
}

/// The agent's command without its output format; only the ioctl sampler runs.
pub(crate) fn command(program: &str, more: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("NO_COLOR", "1").arg("--stdout");
    // A reading a second at the least.
    command.args(["--set", "ioctl.period=200ms"]).args(more);
    for set in [
        "hailo.enabled=false",
        "ascend.enabled=false",
        "ioctl.extra_devices=/dev/full=other",
    ] {
        command.args(["--set", set]);
    }
    command.stdin(Stdio::null());
    command
}

impl Agent {
    /// Starts the agent and waits until it watches the device. `None` if this machine does not allow tracing.
    pub(crate) fn start(more: &[&str]) -> Option<Self> {
        Self::watching(command(env!("CARGO_BIN_EXE_agent"), more))
    }

    /// The same with the devices of that command.
    pub(crate) fn watching(command: Command) -> Option<Self> {
        let agent = Self::of(command);
        let is_hooked = agent.wait("the agent to watch", |agent| {
            let lines = agent.all("agent.ioctl.devices");
            let hooks = lines.iter().map(|line| line["attributes"]["agent.ioctl.hook"].as_str());
            hooks
                .map(|hook| Some(hook? != "scan"))
                .reduce(|one, other| Some(one? || other?))
                .flatten()
        });
        if !is_hooked {
            skip_test::skip("ebpf", &agent.errors().join("\n"));
            return None;
        }
        Some(agent)
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (series, errors, decreased, ended) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (to, falls, ends) = (Arc::clone(&series), Arc::clone(&decreased), Arc::clone(&ended));
        std::thread::spawn(move || take(lines.map_while(Result::ok), &to, &falls, &ends));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let to: Arc<Mutex<Vec<String>>> = Arc::clone(&errors);
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| to.lock().unwrap().push(line));
        });
        Self {
            child,
            series,
            errors,
            decreased,
            ended,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lines of the agent's log.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap().clone()
    }

    /// The newest lines of the series of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<Value> {
        let series = self.series.lock().unwrap();
        series
            .iter()
            .filter(|((of, _), _)| of == name)
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// Sum of the series of that name with these attributes; an empty value means that the key is absent.
    pub(crate) fn sum(&self, name: &str, attributes: &[(&str, &str)]) -> f64 {
        self.matching(name, attributes)
            .iter()
            .filter_map(|line| line["value"].as_f64())
            .sum()
    }

    /// The newest lines of the series of that name with these attributes.
    pub(crate) fn matching(&self, name: &str, attributes: &[(&str, &str)]) -> Vec<Value> {
        let has = |line: &Value| {
            attributes
                .iter()
                .all(|(key, value)| line["attributes"][key].as_str().unwrap_or_default() == *value)
        };
        self.all(name).into_iter().filter(has).collect()
    }

    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, mut there: impl FnMut(&Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = there(self) {
                return found;
            }
            if Instant::now() >= until {
                let series = self.series.lock().unwrap();
                let lines: Vec<String> = series.values().map(ToString::to_string).collect();
                panic!("waited for {what}\n{}\n{}", lines.join("\n"), self.errors().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the agent has published that many more readings.
    pub(crate) fn readings(&self, more: usize) {
        let mut times = std::collections::BTreeSet::new();
        self.wait("more readings", |agent| {
            let time = |line: &Value| line["time"].as_str().map(ToOwned::to_owned);
            times.extend(agent.all("agent.ioctl.records").iter().filter_map(time));
            (times.len() > more).then_some(())
        });
    }

    /// Counters that have decreased.
    pub(crate) fn decreased(&self) -> Vec<String> {
        self.decreased.lock().unwrap().clone()
    }

    /// The lines so far by which series of that name with these attributes ended.
    pub(crate) fn ended(&self, name: &str, attributes: &[(&str, &str)]) -> Vec<Value> {
        let ended = self.ended.lock().unwrap();
        let has = |line: &&Value| {
            line["name"] == name
                && attributes
                    .iter()
                    .all(|(key, value)| line["attributes"][key].as_str().unwrap_or_default() == *value)
        };
        ended.iter().filter(has).cloned().collect()
    }
}

fn take(
    lines: impl Iterator<Item = String>,
    series: &Mutex<Series>,
    decreased: &Mutex<Vec<String>>,
    ended: &Mutex<Vec<Value>>,
) {
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let key = (
            line["name"].as_str().unwrap().to_owned(),
            line["attributes"].to_string(),
        );
        let mut series = series.lock().unwrap();
        if let Some(before) = series.get(&key).filter(|_| line["type"] == "counter") {
            let shrank = matches!((before["value"].as_f64(), line["value"].as_f64()), (Some(a), Some(b)) if b < a);
            if shrank {
                decreased.lock().unwrap().push(format!("{before} -> {line}"));
            }
        }
        if line["value"].is_null() && line["count"].is_null() {
            ended.lock().unwrap().push(line.clone());
        }
        series.insert(key, line);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
