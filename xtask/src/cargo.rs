//! Builds packages of the workspace.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Builds a package of the workspace and returns the path of the artifact of that name.
pub(crate) fn build(package: &str, file: &str, release: bool) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--package",
            package,
            "--message-format=json-render-diagnostics",
        ])
        .args(release.then_some("--release"))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "{package} does not build");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let files = messages
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let mut paths = files.filter_map(|file| file.as_str().map(PathBuf::from));
    paths
        .find(|path| path.file_name().is_some_and(|name| name == file))
        .with_context(|| format!("cargo made no {file}"))
}
