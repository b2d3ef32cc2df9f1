//! Environment of a scenario.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::reading::{Point, Sample, json_lines};
use crate::tools::{Tools, data};

/// Tools, agent binary and working folder of a scenario.
pub(crate) struct Bench<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) agent: &'a Path,
    pub(crate) work: &'a Path,
}

impl Bench<'_> {
    /// Path of a folder or file in the scenario's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Python with one of the scripts in `xtask/e2e`.
    pub(crate) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.tools.python);
        command.arg(data(script));
        command
    }

    /// Points in files of OTLP-JSON lines, read by an independent decoder.
    pub(crate) fn otlp_points(&self, files: &[PathBuf]) -> Result<Vec<Point>> {
        json_lines(&super::process::output(self.python("otlp_points.py").args(files))?)
    }

    /// Samples of an exposition (`text` or `openmetrics`), read by an independent parser.
    pub(crate) fn samples(&self, format: &str, exposition: &str) -> Result<Vec<Sample>> {
        let (code, out, err) = feed(self.python("prometheus_text.py").arg(format), exposition)?;
        if code != Some(0) {
            bail!("the exposition does not parse: {}", err.trim());
        }
        json_lines(&out)
    }
}

/// Runs a command with this input; returns its exit code, standard output and standard error.
pub(crate) fn feed(command: &mut Command, input: &str) -> Result<(Option<i32>, String, String)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no pipe")?;
    let input = input.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // A program that stops reading early reports the reason itself.
    drop(feeder.join());
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// `GET`; fails unless the answer is 2xx.
pub(crate) fn get(url: &str, headers: &[(&str, &str)]) -> Result<String> {
    let mut request = ureq::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = request.call().with_context(|| format!("GET {url}"))?;
    Ok(answer.body_mut().read_to_string()?)
}

/// Attributes or labels as text, for messages and keys.
pub(crate) fn render(labels: &BTreeMap<String, String>) -> String {
    let inner: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", inner.join(","))
}
