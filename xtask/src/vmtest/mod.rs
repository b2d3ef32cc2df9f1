//! `cargo xtask vmtest`: the agent on other kernels, with a driver that can be hooked.
//!
//! Boots kernels of Debian under software emulation (no KVM, no privileges on this machine) with an initramfs that
//! contains the agent, a stub of Hailo's driver, an application with known calls, and an init that runs scenarios.
//! Their files come back over the console and are checked here against the figures of the stub, never against the
//! agent's own.
//!
//! - `xtask/vm/kernel.sh` gets a kernel, with its headers or its modules, from Debian's archive into the user's cache,
//!   once; remove `~/.cache/accelscope/vm/SUITE-ARCHITECTURE` to get a newer one.
//! - `xtask/vm/stub/` is the driver, built twice: as DKMS builds it (no type information, so it can be hooked by kprobe
//!   only), and as a distribution builds its own (with type information, so by fentry). Debian's headers of 6.12 carry a
//!   vmlinux, so that there DKMS builds have type information, too.
//! - `xtask/vm/work.c` is the application, `xtask/vm/init` plays the scenarios.
//! - On preemptible kernels (`preempt=full`, RT) the driver is the kernel's own module `vgem`, which is called by many
//!   threads at once (`xtask/vm/storm.c`), by a 32-bit process (`xtask/vm/storm32.c`) and by 32-bit system calls of a 64-bit
//!   one. The check prints how many calls were made, counted and lost. The compiler of x86-64 builds the 32-bit program,
//!   which needs no C library.
//! - On one kernel the driver is the kernel's own for IPMI, and the emulator has a BMC with sensors of `bmc.rs`, whose readings
//!   `xtask/vm/bmc.c` sets.
//! - [`mod@judge`] checks the result of each.
//!
//! An arm64 machine needs an agent built for it (`--agent-arm64 PATH`), which this command does not build.
//!
//! Needs Debian or a derivative: `apt-get install qemu-system-x86 busybox-static cpio lz4 zstd xz-utils dwarves make gcc
//! libc6-dev bc debian-archive-keyring`; for arm64 also `qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross`.

mod bmc;
mod emulator;
mod image;
mod judge;
mod kernel;
mod machine;
mod outcome;
mod point;
mod types;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use kernel::{Architecture, KERNELS, Kernel};
use outcome::Outcome;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenarios to play; all if none is given.
    names: Vec<String>,
    /// Kernels to boot, by name; may be repeated. Those that CI boots if none is given.
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Names the kernels and scenarios and ends.
    #[arg(long)]
    list: bool,
    /// Tests this x86-64 binary in place of one built now.
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Tests this arm64 binary in arm64 machines.
    #[arg(long, value_name = "PATH")]
    agent_arm64: Option<PathBuf>,
    /// Keeps what the machines left, even if all is as it should be.
    #[arg(long)]
    keep: bool,
}

/// Boots the machines; fails if a check fails in one of them.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        for kernel in KERNELS {
            println!("{kernel}");
        }
        for scenario in judge::SCENARIOS {
            println!("{:<22} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    for name in &args.names {
        if !judge::SCENARIOS.iter().any(|scenario| scenario.name == name) {
            bail!("no scenario is named {name}: cargo xtask vmtest --list names them");
        }
    }
    let kernels = chosen(&args.kernel)?;
    let mut results = Vec::new();
    for kernel in kernels {
        if chosen_scenarios(args, kernel).next().is_none() {
            println!("kernel {}: plays none of the scenarios", kernel.name);
            continue;
        }
        let started = Instant::now();
        let work = tempfile::Builder::new()
            .prefix(&format!("accelscope-vmtest-{}-", kernel.name))
            .tempdir()?;
        let outcome = one(args, kernel, work.path());
        let results_here = judge(args, kernel, outcome);
        let failed = results_here.iter().any(|result| result.said.is_err());
        results.extend(results_here);
        let mut work = work;
        work.disable_cleanup(args.keep || failed);
        println!("kernel {}: {:.0} s", kernel.name, started.elapsed().as_secs_f32());
        if args.keep || failed {
            println!("  its files are kept in {}", work.path().display());
        }
    }
    Ok(report(&results))
}

/// Result of one scenario in one machine.
struct Verdict {
    kernel: &'static str,
    scenario: &'static str,
    time: Duration,
    said: Result<String>,
}

fn chosen(names: &[String]) -> Result<Vec<&'static Kernel>> {
    if names.is_empty() {
        return Ok(KERNELS.iter().filter(|kernel| kernel.by_default).collect());
    }
    names
        .iter()
        .map(|name| {
            KERNELS
                .iter()
                .find(|kernel| kernel.name == name)
                .with_context(|| format!("no kernel is named {name}: cargo xtask vmtest --list names them"))
        })
        .collect()
}

/// The scenarios that the kernel's driver is for, and that were asked for.
fn chosen_scenarios(args: &Args, kernel: &Kernel) -> impl Iterator<Item = &'static judge::Scenario> {
    let driver = kernel.driver;
    judge::SCENARIOS
        .iter()
        .filter(move |scenario| scenario.driver == driver)
        .filter(|scenario| args.names.is_empty() || args.names.iter().any(|name| name == scenario.name))
}

fn one(args: &Args, kernel: &Kernel, work: &std::path::Path) -> Result<Outcome> {
    let obtained = kernel.obtain()?;
    let agent = match (kernel.architecture, &args.agent, &args.agent_arm64) {
        (Architecture::X86_64, Some(path), _) | (Architecture::Aarch64, _, Some(path)) => path
            .canonicalize()
            .with_context(|| format!("no agent at {}", path.display()))?,
        (Architecture::X86_64, None, _) => crate::cargo::build("agent", "agent", false)?,
        (Architecture::Aarch64, _, None) => bail!("give an agent built for arm64: --agent-arm64 PATH"),
    };
    let mut played: Vec<&str> = chosen_scenarios(args, kernel).map(|scenario| scenario.played).collect();
    // Neighbours may judge the same files.
    played.dedup();
    let initramfs = image::build(work, kernel, &obtained, &agent, &played)?;
    machine::run(work, kernel, &obtained.image, &initramfs)
}

fn judge(args: &Args, kernel: &'static Kernel, outcome: Result<Outcome>) -> Vec<Verdict> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            return vec![Verdict {
                kernel: kernel.name,
                scenario: "boot",
                time: Duration::ZERO,
                said: Err(error),
            }];
        }
    };
    chosen_scenarios(args, kernel)
        .map(|scenario| {
            let left = outcome.scenario(scenario.played);
            Verdict {
                kernel: kernel.name,
                scenario: scenario.name,
                time: left.as_ref().map_or(Duration::ZERO, outcome::Left::length),
                said: left.and_then(|left| (scenario.judge)(&left)),
            }
        })
        .collect()
}

fn report(results: &[Verdict]) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for result in results {
        let (word, said) = match &result.said {
            Ok(said) if said.starts_with(judge::SKIPPED) => {
                skipped += 1;
                ("SKIP", said.clone())
            }
            Ok(said) => {
                passed += 1;
                ("PASS", said.clone())
            }
            Err(error) => {
                failed += 1;
                ("FAIL", format!("{error:#}"))
            }
        };
        println!(
            "{word} {:<12} {:<22} {:>4.0} s  {said}",
            result.kernel,
            result.scenario,
            result.time.as_secs_f32()
        );
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
