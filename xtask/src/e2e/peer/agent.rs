//! The agent under test.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::e2e::bench::{Bench, get};
use crate::e2e::process::{Process, bound, output};
use crate::e2e::reading::{Point, Sample, json_lines};
use crate::e2e::wait;

/// The agent as a service.
pub(crate) struct Agent {
    pub(crate) process: Process,
    /// Base URL of its pull endpoints.
    pub(crate) url: String,
}

/// The agent's command line with these settings; the caller's environment has no effect on its configuration.
fn command(mut command: Command, bench: &Bench<'_>, settings: &[(&str, String)]) -> Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("ACCELSCOPE") {
            command.env_remove(&name);
        }
    }
    command.args(arguments(bench, settings));
    command
}

fn arguments(bench: &Bench<'_>, settings: &[(&str, String)]) -> Vec<String> {
    let mut all = BTreeMap::from([
        ("hailo.dir", bench.path("hmon_files").display().to_string()),
        ("hailo.discover", "false".to_owned()),
        // Longer than any scenario: on a busy machine a writer is late, too. Those about the age have their own.
        ("hailo.max_age", "10m".to_owned()),
    ]);
    all.extend(settings.iter().cloned());
    all.iter()
        .flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")])
        .collect()
}

impl Agent {
    /// Starts it and waits until it answers.
    pub(crate) fn start(bench: &Bench<'_>, name: &str, settings: &[(&str, String)]) -> Result<Self> {
        Self::start_at(bench, name, bound(bench.agent), settings, free_port::free_port())
    }

    /// The same with the pull endpoint at `port`; `program` is the command before the agent's arguments.
    pub(crate) fn start_at(
        bench: &Bench<'_>,
        name: &str,
        program: Command,
        settings: &[(&str, String)],
        port: u16,
    ) -> Result<Self> {
        let listen = format!("127.0.0.1:{port}");
        let mut all = vec![("otlp.enabled", "false".to_owned())];
        all.extend(settings.iter().cloned());
        all.push(("http.listen", listen.clone()));
        let mut process = Process::start(bench.work, name, &mut command(program, bench, &all))?;
        let url = format!("http://{listen}");
        wait::until(&format!("{name} to be ready"), wait::SOON, || {
            process.check()?;
            get(&format!("{url}/readyz"), &[]).map(Some)
        })?;
        Ok(Self { process, url })
    }

    /// Starts one that pushes by that configuration file, with the pull endpoint at `port`.
    pub(crate) fn start_pushing(bench: &Bench<'_>, config: &str, port: u16) -> Result<Self> {
        let path = bench.path("agent.toml");
        std::fs::write(&path, config)?;
        let mut command = bound(bench.agent);
        command.arg("--config").arg(path);
        Self::start_at(bench, "agent", command, &[("otlp.enabled", "true".to_owned())], port)
    }

    /// Its exposition in text 0.0.4.
    pub(crate) fn exposition(&self) -> Result<String> {
        get(&format!("{}/metrics", self.url), &[])
    }

    /// Samples of its exposition.
    pub(crate) fn samples(&self, bench: &Bench<'_>) -> Result<Vec<Sample>> {
        bench.samples("text", &self.exposition()?)
    }
}

/// Output of `agent --stdout --once` in one format.
pub(crate) fn once(
    bench: &Bench<'_>,
    format: &str,
    settings: &[(&str, String)],
    environment: &[(&str, &str)],
) -> Result<String> {
    let mut command = command(bound(bench.agent), bench, settings);
    command
        .args(["--stdout", "--format", format, "--once"])
        .envs(environment.iter().copied());
    let text = output(&mut command)?;
    ensure!(
        !text.trim().is_empty(),
        "agent --stdout --format {format} --once printed nothing"
    );
    Ok(text)
}

/// A running `agent --stdout --format json`.
pub(crate) struct JsonLines {
    process: Process,
}

impl JsonLines {
    pub(crate) fn start(bench: &Bench<'_>, name: &str, settings: &[(&str, String)]) -> Result<Self> {
        let mut command = command(bound(bench.agent), bench, settings);
        command.args(["--stdout", "--format", "json"]);
        Ok(Self {
            process: Process::start(bench.work, name, &mut command)?,
        })
    }

    /// All points so far.
    pub(crate) fn points(&mut self) -> Result<Vec<Point>> {
        self.process.check()?;
        let text = std::fs::read_to_string(&self.process.out)?;
        json_lines(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
    }
}
