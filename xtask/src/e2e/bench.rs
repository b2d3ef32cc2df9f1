//! What a scenario works with.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::reading::{Point, Sample, json_lines};
use crate::tools::{Tools, data};

/// The tools, the agent's binary and a folder of the scenario's own.
pub(crate) struct Bench<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) agent: &'a Path,
    pub(crate) work: &'a Path,
}

impl Bench<'_> {
    /// A folder or file in the scenario's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Python with one of the scripts of `xtask/e2e`.
    pub(crate) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(&self.tools.python);
        command.arg(data(script));
        command
    }

    /// The points in files of OTLP-JSON lines, by an independent decoder.
    pub(crate) fn otlp_points(&self, files: &[PathBuf]) -> Result<Vec<Point>> {
        json_lines(&super::process::output(self.python("otlp_points.py").args(files))?)
    }

    /// The samples of an exposition, by an independent parser: `text` or `openmetrics`.
    pub(crate) fn samples(&self, format: &str, exposition: &str) -> Result<Vec<Sample>> {
        let (code, out, err) = feed(self.python("prometheus_text.py").arg(format), exposition)?;
        if code != Some(0) {
            bail!("the exposition does not parse: {}", err.trim());
        }
        json_lines(&out)
    }
}

/// Runs a command on some input: its exit code, standard output and standard error.
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
    // A program that stops reading early says why itself.
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

/// Attributes or labels, for messages and keys.
pub(crate) fn render(labels: &BTreeMap<String, String>) -> String {
    let inner: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{{{}}}", inner.join(","))
}
