//! `cargo xtask e2e`: the agent against real peers.

mod bench;
mod peer;
pub(crate) mod process;
mod reading;
mod scenario;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::cargo::build;
use crate::tools::Tools;
use bench::Bench;
use scenario::{SCENARIOS, Verdict};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios to run: a name, or a group's (`writers` runs all that begin with `writers-`). All if none is given.
    names: Vec<String>,
    /// Names the scenarios and ends.
    #[arg(long)]
    list: bool,
    /// Tests this binary in place of one built now.
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Builds the agent in the release profile.
    #[arg(long)]
    release: bool,
    /// Keeps the working folders of scenarios that passed, too.
    #[arg(long)]
    keep: bool,
}

/// Runs the scenarios; fails if one of them does.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        for scenario in SCENARIOS {
            println!("{:<20} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    for name in &args.names {
        if !SCENARIOS.iter().any(|scenario| scenario.is_named(name)) {
            bail!("no scenario is named {name}: cargo xtask e2e --list names them");
        }
    }
    let tools = Tools::obtain()?;
    let agent = match &args.agent {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("no agent at {}", path.display()))?,
        None => build("agent", "agent", args.release)?,
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for scenario in SCENARIOS {
        if !args.names.is_empty() && !args.names.iter().any(|name| scenario.is_named(name)) {
            continue;
        }
        let started = Instant::now();
        let mut work = tempfile::Builder::new()
            .prefix(&format!("accelscope-e2e-{}-", scenario.name))
            .tempdir()?;
        let verdict = (scenario.run)(&Bench {
            tools: &tools,
            agent: &agent,
            work: work.path(),
        });
        let seconds = started.elapsed().as_secs_f32();
        work.disable_cleanup(args.keep || verdict.is_err());
        match verdict {
            Ok(Verdict::Passed) => {
                passed += 1;
                println!("PASS {} ({seconds:.1} s)", scenario.name);
            }
            Ok(Verdict::Skipped(why)) => {
                skipped += 1;
                println!("SKIPPED: {}: {why}", scenario.name);
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {} ({seconds:.1} s): {error:#}", scenario.name);
                println!("     its files are kept in {}", work.path().display());
            }
        }
    }
    println!(
        "{passed} passed, {failed} failed{}",
        if skipped > 0 {
            format!(", {skipped} SKIPPED")
        } else {
            String::new()
        }
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
