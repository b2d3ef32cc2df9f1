//! Developer tasks of accelscope.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these commands talk to the person who runs them"
)]

mod aarch64;
mod bless;
mod cargo;
mod e2e;
mod ebpf;
mod features;
mod fuzz;
mod manifest;
mod nvidia_compare;
mod proto;
mod tools;
mod vmtest;

use std::process::ExitCode;

use clap::Parser;

/// Everything an accelscope developer runs.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Rewrite everything that is generated and committed.
    Bless {
        /// Change nothing; fail where something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Rebuild the eBPF programs that are committed in agent-ebpf/prebuilt.
    BuildEbpf {
        /// Change nothing; fail where the sources have changed since, or where the same toolchain builds something else.
        #[arg(long, conflicts_with = "install")]
        check: bool,
        /// First put the toolchain on this machine, without rustup's component server.
        #[arg(long)]
        install: bool,
    },
    /// Check that the agent compiles for aarch64, on a machine of another architecture.
    CheckAarch64,
    /// Test the agent against real peers: OpenTelemetry Collector, Prometheus, promtool, live writers.
    E2e(e2e::Args),
    /// Lint the agent with each of its features alone, and with none.
    Features,
    /// Build every fuzz target and run it over its corpus.
    Fuzz,
    /// Compare every value of this machine's NVIDIA GPUs with what nvidia-smi says at the same moment.
    NvidiaCompare(nvidia_compare::Args),
    /// Fetch and build the peers that tests and e2e use.
    Tools {
        /// Print shell commands that make `cargo test` use them: eval "$(cargo xtask tools --export)".
        #[arg(long)]
        export: bool,
    },
    /// Test the agent on other kernels, in emulated machines with a stub of a driver.
    Vmtest(vmtest::Args),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    match Task::parse() {
        Task::Bless { check } => bless::run(check)?,
        Task::BuildEbpf { check, install } => ebpf::run(check, install)?,
        Task::CheckAarch64 => aarch64::run()?,
        Task::E2e(args) => return e2e::run(&args),
        Task::Features => features::run()?,
        Task::Fuzz => fuzz::run()?,
        Task::NvidiaCompare(args) => return nvidia_compare::run(&args),
        Task::Vmtest(args) => return vmtest::run(&args),
        Task::Tools { export } => tools::run(export)?,
    }
    Ok(ExitCode::SUCCESS)
}
