//! NVIDIA's part of the program, from the library to what a user sees: `/metrics`, the views of replaced tools, JSON lines
//! and the doctor.
#![cfg(feature = "nvidia")]
// The state of a GPU is one long `json!`.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![allow(clippy::float_cmp, reason = "these counters and states are whole numbers")]

mod births;
mod counts;
mod crowd;
mod doctor;
mod energy;
#[path = "../group_support/mod.rs"]
mod group_support;
mod hangs;
#[cfg(feature = "kmsg")]
mod kernel_log;
mod links;
#[path = "../nvml_support/mod.rs"]
mod nvml_support;
#[path = "../program_support/mod.rs"]
mod program_support;
mod restarts;
mod xids;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use free_port::free_address;
use nvml_support::Fake;
use program_support::{Running, get, wait_for};

/// The program with the fake as its only source.
fn command(fake: &Fake, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agent"));
    command.env_clear().env("K8S_NODE_NAME", "node-1").stdin(Stdio::null());
    command.args(arguments);
    command.args(["--set", "otlp.enabled=false"]);
    for set in fake.settings() {
        command.args(["--set", &set]);
    }
    command
}

/// A running agent.
struct Agent {
    metrics: SocketAddr,
    /// The view of GPU Process Exporter.
    processes: SocketAddr,
    /// The view of system-info-exporter.
    node: SocketAddr,
    process: Running,
}

impl Agent {
    fn start(fake: &Fake) -> Self {
        Self::with(fake, &[])
    }

    fn with(fake: &Fake, arguments: &[&str]) -> Self {
        let (metrics, processes, node) = (free_address(), free_address(), free_address());
        let mut command = command(fake, arguments);
        for set in [
            format!("http.listen={metrics}"),
            format!("compat.gpu_process_exporter.listen={processes}"),
            format!("compat.system_info_exporter.listen={node}"),
        ] {
            command.args(["--set", &set]);
        }
        Self {
            metrics,
            processes,
            node,
            process: Running::start(command),
        }
    }

    /// Waits until the sampler has reported once.
    fn until_ready(&self) {
        wait_for("readiness", || {
            get(self.metrics, "/readyz").filter(|answer| answer.status == 200)
        });
    }

    fn metrics(&self) -> String {
        body(self.metrics)
    }

    /// Waits for an exposition with this property.
    #[track_caller]
    fn until(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        wait_for(what, || Some(self.metrics()).filter(|text| is_it(text)))
    }

    /// Waits for the value of a series of `/metrics`.
    #[track_caller]
    fn until_value(&self, name: &str, labels: &[(&str, &str)], value: f64) -> String {
        self.until(&format!("{name} {labels:?} {value}"), |text| {
            samples(text, name, labels) == [value]
        })
    }
}

/// The exposition at that address.
fn body(address: SocketAddr) -> String {
    wait_for("an exposition", || get(address, "/metrics").map(|answer| answer.body))
}

/// Values of the samples of that name with these labels.
fn samples(text: &str, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let has = |line: &str, (key, value): &(&str, &str)| {
        ["{", ","]
            .iter()
            .any(|before| line.contains(&format!("{before}{key}=\"{value}\"")))
    };
    let fits = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|label| has(line, label))
    };
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse().unwrap();
    text.lines().filter(fits).map(value).collect()
}

/// Whether a sample has a label of that name.
fn has_label(text: &str, name: &str, label: &str) -> bool {
    let of_name = text.lines().filter(|line| line.starts_with(name));
    of_name.into_iter().any(|line| line.contains(&format!("{label}=\"")))
}
