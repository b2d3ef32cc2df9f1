//! The nightly compiler and the linker that build eBPF programs.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{provenance, root};
use crate::tools;

const TARGET: &str = "bpfel-unknown-none";
const PROGRAMS: &str = "agent-ebpf-programs";
/// Instructions of the third version: 32-bit arithmetic (Linux 5.1) and, where a program uses them, atomic exchanges
/// (Linux 5.12).
const PROCESSOR: &str = "v3";
const REMEDY: &str = "rustup toolchain install nightly --component rust-src && cargo install bpf-linker; \
    or, where rustup's component server is out of reach, cargo xtask build-ebpf --install";

/// Everything that determines the bytes of the objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Versions {
    /// `rustc --version` with its commit.
    pub(super) rustc: String,
    pub(super) llvm: String,
    /// SHA-256 of the standard library's sources that are part of the programs.
    pub(super) library: String,
    pub(super) bpf_linker: String,
}

pub(super) struct Toolchain {
    pub(super) versions: Versions,
    linker: PathBuf,
}

impl Toolchain {
    /// The nightly of rustup, or the toolchain that `ACCELSCOPE_EBPF_TOOLCHAIN` names.
    pub(super) fn find() -> Result<Self> {
        let name = name();
        let verbose = output(Command::new("rustc").arg(&name).arg("-vV"))
            .with_context(|| format!("no nightly compiler ({REMEDY})"))?;
        let field = |wanted: &str| {
            verbose
                .lines()
                .find_map(|line| line.strip_prefix(wanted))
                .unwrap_or("?")
                .trim()
        };
        let sysroot = PathBuf::from(output(Command::new("rustc").arg(&name).args(["--print", "sysroot"]))?.trim());
        let library = sysroot.join("lib/rustlib/src/rust/library/core/src");
        if !library.is_dir() {
            bail!("the nightly has no library sources ({REMEDY})");
        }
        let linker = linker().with_context(|| format!("bpf-linker is missing ({REMEDY})"))?;
        let versions = Versions {
            rustc: verbose.lines().next().unwrap_or("?").to_owned(),
            llvm: field("LLVM version:").to_owned(),
            library: provenance::tree(&[library])?,
            bpf_linker: output(Command::new(&linker).arg("--version"))?.trim().to_owned(),
        };
        Ok(Self { versions, linker })
    }

    /// The object for one architecture.
    pub(super) fn build(&self, architecture: &str) -> Result<Vec<u8>> {
        // One target folder for all: only the parts that depend on the architecture are rebuilt.
        let target = root().join("target/ebpf");
        let root = root().canonicalize().context("cannot resolve the project's folder")?;
        // Without debug information, which no loader reads and which would contain paths of this machine.
        let flags = [
            format!("-Ctarget-cpu={PROCESSOR}"),
            "-Cdebuginfo=0".to_owned(),
            format!("-Clinker={}", self.linker.display()),
        ];
        let status = Command::new("cargo")
            .arg(name())
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--target",
                TARGET,
                "-Zbuild-std=core",
                "--target-dir",
            ])
            .arg(&target)
            .current_dir(root.join("agent-ebpf/programs"))
            .env("AYA_BPF_TARGET_ARCH", architecture)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env_remove("RUSTFLAGS")
            // Variables that cargo sets for its children would select the workspace's compiler.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("RUSTC")
            .env_remove("CARGO")
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            bail!("the eBPF programs do not build ({status})");
        }
        let path = target.join(TARGET).join("release").join(PROGRAMS);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// Installs the library sources and the linker.
pub(super) fn install() -> Result<()> {
    tools::script(
        "ebpf.sh",
        "the eBPF toolchain",
        "it needs rustup's nightly, Debian's package index and crates.io",
        &[
            tools::cache()?.join("ebpf").as_os_str(),
            name().trim_start_matches('+').as_ref(),
        ],
    )
}

fn name() -> String {
    format!(
        "+{}",
        std::env::var("ACCELSCOPE_EBPF_TOOLCHAIN")
            .as_deref()
            .unwrap_or("nightly")
    )
}

fn linker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(tools::cache().map(|cache| cache.join("ebpf/bin")))
        .map(|folder| folder.join("bpf-linker"))
        .find(|program| program.is_file())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC")
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            command.get_program().display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
