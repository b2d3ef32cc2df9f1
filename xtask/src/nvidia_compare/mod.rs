//! Comparison of the agent with `nvidia-smi -q -x`, on machines with a GPU.
//!
//! `nvidia-smi` runs right before and right after the agent. A varying value must lie between its two results, or
//! differ from them by at most the change that is possible in a second; a constant value must be the same.

mod readings;
mod report;
mod rules;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, ensure};
use readings::{Agent, Smi};

/// Compare every value of this machine's NVIDIA GPUs with what nvidia-smi says at the same moment.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The agent's program; built and run by Cargo if absent.
    #[arg(long)]
    agent: Option<PathBuf>,
    /// The tool.
    #[arg(long, default_value = "nvidia-smi")]
    nvidia_smi: PathBuf,
    /// How often to compare.
    #[arg(long, default_value_t = 1)]
    times: u32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut failed = false;
    for _ in 0..args.times.max(1) {
        let before = Smi::parse(&smi(args)?)?;
        let lines = agent(args)?;
        let after = Smi::parse(&smi(args)?)?;
        let agent = Agent::parse(&lines)?;
        let report = report::compare(&agent, &before, &after);
        print!("{report}");
        failed |= report.has_failed();
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn smi(args: &Args) -> anyhow::Result<String> {
    let mut command = Command::new(&args.nvidia_smi);
    command.args(["-q", "-x"]).env("LC_ALL", "C");
    output(command).with_context(|| format!("{} -q -x", args.nvidia_smi.display()))
}

fn agent(args: &Args) -> anyhow::Result<String> {
    let mut command = if let Some(program) = &args.agent {
        Command::new(program)
    } else {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["run", "--quiet", "--package", "agent", "--bin", "agent", "--"]);
        cargo
    };
    command.args(["--stdout", "--format", "json", "--once"]);
    output(command).context("the agent")
}

fn output(mut command: Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    // The agent exits with 1 if another sampler failed; its output is valid nevertheless.
    ensure!(
        output.status.success() || !output.stdout.is_empty(),
        "ended with {}",
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}
