//! The QEMU emulator.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::kernel::{Architecture, package};
use crate::e2e::process::{bound, output};

/// QEMU 7.2 of bookworm corrupts a guest of 6.12 that patches its own code (seen as random null pointers soon after
/// boot); 10.0 does not.
const OLDEST: u32 = 10;
/// Source of a newer emulator with its libraries, for machines with an older one.
const SUITE: &str = "bookworm-backports";

/// The emulator of that architecture: the installed one if it is new enough.
pub(super) fn command(architecture: Architecture) -> Result<Command> {
    let (program, debian) = match architecture {
        Architecture::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
        Architecture::Aarch64 => ("qemu-system-aarch64", "qemu-system-arm"),
    };
    let own = version(Path::new(program))
        .with_context(|| format!("apt-get install {debian} (its libraries are needed for a newer one, too)"))?;
    if own >= OLDEST {
        return Ok(bound(program));
    }
    let folder = package(
        SUITE,
        Architecture::X86_64,
        &[debian, "qemu-system-common", "qemu-system-data", "seabios"],
    )?;
    let path = folder.join("usr/bin").join(program);
    let newer = version(&path).with_context(|| format!("{} does not run", path.display()))?;
    ensure!(newer >= OLDEST, "{SUITE} has version {newer} of {program} only");
    let mut command = bound(&path);
    for data in ["qemu", "seabios"] {
        command.arg("-L").arg(folder.join("usr/share").join(data));
    }
    Ok(command)
}

fn version(program: &Path) -> Result<u32> {
    let said = output(Command::new(program).arg("--version"))?;
    said.split("version ")
        .nth(1)
        .and_then(|rest| rest.split('.').next()?.parse().ok())
        .with_context(|| format!("{} tells no version: {said}", program.display()))
}
