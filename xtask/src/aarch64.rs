//! Cross-compilation check of the agent for aarch64.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::tools;

const TARGET: &str = "aarch64-unknown-linux-gnu";
/// C compiler for dependencies with C or assembly code (ring).
const COMPILER: &str = "aarch64-linux-gnu-gcc";
const NIGHTLY: &str = "nightly";

/// `cargo check` of the agent with its default features.
pub(crate) fn run() -> Result<()> {
    if cfg!(target_arch = "aarch64") {
        println!("this machine is aarch64: every build checks it");
        return Ok(());
    }
    if !succeeds(Command::new(COMPILER).arg("--version")) {
        return skip("no C compiler for it: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross");
    }
    let mut command = Command::new("cargo");
    if succeeds(Command::new("rustup").args(["target", "add", TARGET])) {
        command.args(["check", "--locked"]);
    } else if succeeds(Command::new("rustc").args([&format!("+{NIGHTLY}"), "--version"])) && library_sources().is_ok() {
        // The target's standard library cannot be downloaded: it is compiled from its sources.
        command.args([&format!("+{NIGHTLY}"), "check", "--locked"]);
        command.arg("-Zbuild-std=std,panic_abort");
    } else {
        return skip(&format!(
            "no standard library for it: rustup target add {TARGET}, or a {NIGHTLY} with the component rust-src"
        ));
    }
    let status = clean(&mut command)
        .args(["--quiet", "--package", "agent", "--target", TARGET])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .env("CC_aarch64_unknown_linux_gnu", COMPILER)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the agent does not compile for {TARGET}");
    }
    println!("the agent compiles for {TARGET}");
    Ok(())
}

/// Adds the standard library's sources to the nightly toolchain if they are missing.
fn library_sources() -> Result<()> {
    tools::script(
        "rust-src.sh",
        "the standard library's sources",
        "it needs Debian's package index",
        &[NIGHTLY.as_ref()],
    )
}

/// Prints why the check was skipped; an error if `ACCELSCOPE_REQUIRE` demands it.
fn skip(why: &str) -> Result<()> {
    if skip_test::is_required("aarch64") {
        bail!("the agent cannot be checked for {TARGET}, and ACCELSCOPE_REQUIRE demands it: {why}");
    }
    eprintln!("SKIPPED: the agent was not checked for {TARGET}: {why}");
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    clean(command).status().is_ok_and(|status| status.success())
}

/// Removes the variables that cargo sets for its children, which select the workspace's compiler.
fn clean(command: &mut Command) -> &mut Command {
    command.env_remove("RUSTC").env_remove("CARGO")
}
