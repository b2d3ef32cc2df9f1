//! Developer tasks.

use clap::Parser;

mod proto;

/// Everything an accelscope developer runs.
#[derive(Parser)]
enum Task {
    /// Rewrite everything that is generated and committed.
    Bless {
        /// Change nothing; fail where something is out of date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Bless { check } => proto::generate(check),
    }
}
