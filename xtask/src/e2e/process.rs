//! Child processes that never outlive the test.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::wait;

/// A child with its output in files; it is killed with its owner, even if the owner itself is killed.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// Path of its standard output.
    pub(crate) out: PathBuf,
    /// Path of its standard error.
    pub(crate) err: PathBuf,
}

/// A command that the kernel kills when this process ends.
pub(crate) fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

impl Process {
    /// Starts a [`bound`] command with its output in `NAME.out` and `NAME.err` in `work`.
    pub(crate) fn start(work: &Path, name: &str, command: &mut Command) -> Result<Self> {
        let (out, err) = (work.join(format!("{name}.out")), work.join(format!("{name}.err")));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            out,
            err,
        })
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Fails, with the last lines of its standard error, if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}: {}", self.name, self.complaint());
        }
        Ok(())
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let (name, child) = (&self.name, &mut self.child);
        wait::until(&format!("the end of {name}"), limit, || Ok(child.try_wait()?))
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn complaint(&self) -> String {
        let text = std::fs::read_to_string(&self.err).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended already.
        drop(self.kill());
    }
}

/// Runs a command to its end and returns its output; fails if the command does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} printed something that is not UTF-8"))
}
