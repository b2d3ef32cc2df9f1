//! Everything a developer of accelscope runs.
#![expect(clippy::print_stdout, reason = "these commands talk to the person who runs them")]

mod e2e;
mod tools;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything a developer of accelscope runs")]
enum Command {
    /// Tests the agent against real peers: OpenTelemetry Collector, Prometheus, promtool, live writers.
    E2e(e2e::Args),
    /// Fetches and builds the peers that e2e needs, and says where they are.
    Tools,
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::E2e(args) => e2e::run(&args),
        Command::Tools => {
            println!("{:#?}", tools::Tools::obtain()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
