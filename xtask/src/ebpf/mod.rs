//! The eBPF programs: built here by a nightly compiler and committed as objects, so that a build of the agent needs
//! none.

mod provenance;
mod toolchain;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use self::{provenance::Provenance, toolchain::Toolchain};

/// Architectures of the objects. The instructions are the same; the access of a driver's hook to its arguments differs.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// Rebuilds the objects; with `check` fails if they are out of date instead.
pub(crate) fn run(check: bool, install: bool) -> Result<()> {
    if install {
        toolchain::install()?;
    }
    if check { self::check() } else { build() }
}

fn build() -> Result<()> {
    let toolchain = Toolchain::find()?;
    let folder = prebuilt();
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for architecture in ARCHITECTURES {
        let path = object_path(architecture);
        let object = toolchain.build(architecture)?;
        if object.windows(3).any(|bytes| bytes == b"_RN" || bytes == b"_ZN") {
            bail!(
                "a mangled name in the object for {architecture} tells the folder that it was built in, so that no other \
                 build is the same: give the static `#[unsafe(no_mangle)]`"
            );
        }
        std::fs::write(&path, object).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Provenance::now(Some(&toolchain))?.write()
}

fn check() -> Result<()> {
    let committed = Provenance::read()?;
    let now = Provenance::now(None)?;
    if now.sources != committed.sources {
        bail!(
            "the eBPF sources have changed since the objects were built: run `cargo xtask build-ebpf`, commit the result"
        );
    }
    if now.lock != committed.lock {
        bail!("agent-ebpf/programs/Cargo.lock has changed since the objects were built: run `cargo xtask build-ebpf`");
    }
    if now.objects != committed.objects {
        bail!(
            "the objects in agent-ebpf/prebuilt are not those that PROVENANCE.toml tells of: run `cargo xtask build-ebpf`"
        );
    }
    println!("the eBPF objects are built from these sources");
    rebuild(&committed)
}

/// Rebuilds and compares, if this machine has exactly the toolchain with which the objects were built.
fn rebuild(committed: &Provenance) -> Result<()> {
    let toolchain = match Toolchain::find() {
        Ok(toolchain) if toolchain.versions == committed.toolchain => toolchain,
        Ok(_) => return skip("another toolchain than the one they were built with (PROVENANCE.toml names it)"),
        Err(error) => return skip(&format!("{error:#}")),
    };
    for architecture in ARCHITECTURES {
        let path = object_path(architecture);
        let old = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let new = toolchain.build(architecture)?;
        if old != new {
            bail!("rebuilt with the same toolchain, {} is another", path.display());
        }
    }
    println!("rebuilt, they are the same");
    Ok(())
}

/// Prints why there is no comparison; an error if one is required.
fn skip(why: &str) -> Result<()> {
    if skip_test::is_required("ebpf-toolchain") {
        bail!("the eBPF objects cannot be rebuilt for comparison, and ACCELSCOPE_REQUIRE demands it: {why}");
    }
    eprintln!("SKIPPED: the eBPF objects were not rebuilt for comparison: {why}");
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn prebuilt() -> PathBuf {
    root().join("agent-ebpf/prebuilt")
}

fn object_path(architecture: &str) -> PathBuf {
    prebuilt().join(format!("agent.{architecture}.o"))
}
