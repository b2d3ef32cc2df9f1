//! A live process that writes monitor files and shares no code with the agent.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::e2e::bench::Bench;
use crate::e2e::process::{Process, bound};
use crate::e2e::wait;

/// Content, method and namespaces of a writer.
pub(crate) struct WriterSpec<'a> {
    /// `ProtoMon` as protobuf JSON, without the pid.
    pub(crate) message: &'a str,
    pub(crate) dir: PathBuf,
    pub(crate) interval: Duration,
    /// `in-place` or `rename`.
    pub(crate) mode: &'a str,
    pub(crate) container: Option<Container>,
}

/// A PID and mount namespace of its own, with its own `/tmp`.
pub(crate) struct Container {
    pub(crate) cgroup: PathBuf,
    /// Device node that it keeps open.
    pub(crate) hold: &'static str,
    /// Folder of the node that is mounted at its `dir`.
    pub(crate) bind: Option<PathBuf>,
}

pub(crate) struct Writer {
    process: Process,
    /// Its pid on the node; inside a container it is pid 1.
    pub(crate) pid: u32,
}

impl Writer {
    /// Starts it and waits for its first file.
    pub(crate) fn start(bench: &Bench<'_>, name: &str, spec: &WriterSpec<'_>) -> Result<Self> {
        let ready = bench.path(&format!("{name}.pid"));
        // An earlier writer of that name may have left one.
        drop(std::fs::remove_file(&ready));
        let mut command = bound(&bench.tools.python);
        // HailoRT writes such files with it alone. The agent asks for that proof where other processes of the machine are in containers.
        command.env("HAILO_MONITOR", "1");
        command
            .arg(crate::tools::data("writer.py"))
            .arg("--schema")
            .arg(&bench.tools.schema);
        command.args(["--message", spec.message, "--write-mode", spec.mode]);
        command.arg("--interval").arg(spec.interval.as_secs_f64().to_string());
        command.arg("--dir").arg(&spec.dir).arg("--ready").arg(&ready);
        if let Some(container) = &spec.container {
            contain(&mut command, container);
        }
        let mut process = Process::start(bench.work, name, &mut command)?;
        let pid = wait::until(&format!("{name} to write"), wait::SOON, || {
            process.check()?;
            Ok(std::fs::read_to_string(&ready).ok().and_then(|pid| pid.parse().ok()))
        })?;
        Ok(Self { process, pid })
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid.cast_signed()).context("a pid is never 0")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.pid))
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.process.ended(wait::SOON).map(drop)
    }

    /// Base name of the program it runs.
    pub(crate) fn executable(&self) -> Result<String> {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.pid))?;
        Ok(path
            .file_name()
            .context("/proc/PID/exe has no base name")?
            .to_string_lossy()
            .into_owned())
    }
}

fn contain(command: &mut Command, container: &Container) {
    command
        .arg("--container")
        .arg("--cgroup")
        .arg(&container.cgroup)
        .arg("--hold")
        .arg(container.hold);
    if let Some(bind) = &container.bind {
        command.arg("--bind").arg(bind);
    }
}
