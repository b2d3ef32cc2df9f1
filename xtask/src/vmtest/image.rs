//! The initramfs of a machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::kernel::{Architecture, Driver, Kernel, Obtained, data};
use crate::e2e::process::output;

/// Builds a 32-bit program without a C library, which needs no other compiler.
const BITS_32: &[&str] = &[
    "-m32",
    "-ffreestanding",
    "-fno-pic",
    "-fno-stack-protector",
    "-nostdlib",
];

/// Creates it in `work` and returns its path.
pub(super) fn build(
    work: &Path,
    kernel: &Kernel,
    obtained: &Obtained,
    agent: &Path,
    scenarios: &[&str],
) -> Result<PathBuf> {
    let architecture = kernel.architecture;
    let root = work.join("root");
    for folder in ["bin", "lib", "lib64", "vm", "stub", "modules"] {
        fs::create_dir_all(root.join(folder))?;
    }
    busybox(architecture, &root.join("bin/busybox"))?;
    program(architecture, "work.c", &[], &root.join("bin/work"))?;
    strip(architecture, agent, &root.join("bin/agent"))?;
    libraries(architecture, agent, &root)?;
    match kernel.driver {
        Driver::Stub => {
            for kind in ["plain", "btf"] {
                let from = obtained.driver.join(kind);
                if from.is_dir() {
                    fs::create_dir(root.join("stub").join(kind))?;
                    copy_files(&from, &root.join("stub").join(kind))?;
                }
            }
        }
        Driver::Vgem => {
            copy_files(&obtained.driver, &root.join("modules"))?;
            program(architecture, "storm.c", &["-no-pie"], &root.join("bin/storm"))?;
            program(architecture, "storm32.c", BITS_32, &root.join("bin/storm32"))?;
        }
        Driver::Ipmi => {
            copy_files(&obtained.driver, &root.join("modules"))?;
            program(architecture, "bmc.c", &[], &root.join("bin/bmc"))?;
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

fn program(architecture: Architecture, source: &str, options: &[&str], to: &Path) -> Result<()> {
    output(
        Command::new(compiler(architecture))
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"])
            .args(options)
            .arg("-o")
            .arg(to)
            .arg(data(source)),
    )
    .with_context(|| format!("{source} does not build (apt-get install gcc libc6-dev)"))?;
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
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
