//! The initramfs of a machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::kernel::{Architecture, Obtained, data};
use crate::e2e::process::output;

/// Creates it in `work` and returns its path.
pub(super) fn build(
    work: &Path,
    architecture: Architecture,
    kernel: &Obtained,
    agent: &Path,
    scenarios: &[&str],
) -> Result<PathBuf> {
    let root = work.join("root");
    for folder in ["bin", "lib", "lib64", "vm", "stub"] {
        fs::create_dir_all(root.join(folder))?;
    }
    busybox(architecture, &root.join("bin/busybox"))?;
    work_program(architecture, &root.join("bin/work"))?;
    strip(architecture, agent, &root.join("bin/agent"))?;
    libraries(architecture, agent, &root)?;
    for kind in ["plain", "btf"] {
        let from = kernel.stub.join(kind);
        if from.is_dir() {
            fs::create_dir(root.join("stub").join(kind))?;
            for file in fs::read_dir(&from)? {
                let file = file?;
                fs::copy(file.path(), root.join("stub").join(kind).join(file.file_name()))?;
            }
        }
    }
    fs::copy(data("init"), root.join("init"))?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("vm/scenarios"), scenarios.join("\n"))?;
    pack(work, &root)
}

fn busybox(architecture: Architecture, to: &Path) -> Result<()> {
    let from = match architecture {
        Architecture::X86_64 => PathBuf::from("/bin/busybox"),
        Architecture::Aarch64 => {
            super::kernel::package("bookworm", architecture, &["busybox-static"])?.join("bin/busybox")
        }
    };
    fs::copy(&from, to).with_context(|| format!("{} (apt-get install busybox-static)", from.display()))?;
    Ok(())
}

fn compiler(architecture: Architecture) -> String {
    match architecture {
        Architecture::X86_64 => "cc".to_owned(),
        Architecture::Aarch64 => format!("{}gcc", architecture.prefix()),
    }
}

fn work_program(architecture: Architecture, to: &Path) -> Result<()> {
    output(
        Command::new(compiler(architecture))
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o"])
            .arg(to)
            .arg(data("work.c")),
    )
    .context("the application does not build (apt-get install gcc libc6-dev)")?;
    Ok(())
}

fn strip(architecture: Architecture, from: &Path, to: &Path) -> Result<()> {
    output(
        Command::new(format!("{}strip", architecture.prefix()))
            .arg("--strip-debug")
            .arg("-o")
            .arg(to)
            .arg(from),
    )?;
    Ok(())
}

/// Libraries that the agent is linked with: the loader and its libraries, at the loader's search paths.
fn libraries(architecture: Architecture, agent: &Path, root: &Path) -> Result<()> {
    let names = output(
        Command::new(format!("{}readelf", architecture.prefix()))
            .args(["--dynamic", "--program-headers", "--wide"])
            .arg(agent),
    )?;
    let between =
        |line: &str, begin: &str| -> Option<String> { Some(line.split_once(begin)?.1.split_once(']')?.0.to_owned()) };
    let loader = names
        .lines()
        .find_map(|line| between(line, "Requesting program interpreter: "))
        .context("the agent names no loader")?;
    copy_library(
        architecture,
        loader.rsplit('/').next().unwrap_or(&loader),
        &root.join(&loader[1..]),
    )?;
    for name in names.lines().filter_map(|line| between(line, "Shared library: [")) {
        copy_library(architecture, &name, &root.join("lib").join(&name))?;
    }
    Ok(())
}

fn copy_library(architecture: Architecture, name: &str, to: &Path) -> Result<()> {
    // The compiler knows the paths of its libraries; a cross compiler has them in a folder of their own.
    let found = output(Command::new(compiler(architecture)).arg(format!("-print-file-name={name}")))?;
    let from = Path::new(found.trim());
    ensure!(
        from.is_absolute(),
        "the agent's library {name} is not where the compiler looks"
    );
    fs::create_dir_all(to.parent().context("no folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn pack(work: &Path, root: &Path) -> Result<PathBuf> {
    let path = work.join("initramfs");
    let list = output(Command::new("find").arg(".").current_dir(root))?;
    let list_path = work.join("initramfs.list");
    fs::write(&list_path, list)?;
    let status = Command::new("cpio")
        .args(["--create", "--format=newc", "--owner=0:0", "--quiet"])
        .current_dir(root)
        .stdin(fs::File::open(&list_path)?)
        .stdout(fs::File::create(&path)?)
        .stderr(Stdio::inherit())
        .status()
        .context("cannot run cpio (apt-get install cpio)")?;
    ensure!(status.success(), "cpio ended with {status}");
    Ok(path)
}
