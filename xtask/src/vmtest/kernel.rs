//! Kernels, and the files that are downloaded and built for them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::types;
use crate::tools;

const ARCHIVE: &str = "packages come from Debian's archive by apt-get; ACCELSCOPE_DEBIAN_MIRROR names a mirror";

/// A machine's instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// Debian's name of the architecture.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// Prefix of the names of its compiler and binutils.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu-",
            Self::Aarch64 => "aarch64-linux-gnu-",
        }
    }
}

/// The driver in a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// The stub of Hailo's, built here.
    Stub,
    /// The kernel's own module `vgem`, a DRM device without hardware.
    Vgem,
    /// The kernel's own IPMI driver, and a BMC that the emulator has.
    Ipmi,
}

impl Driver {
    /// Modules of the kernel, with what they need; none where the driver is built here.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Stub => &[],
            Self::Vgem => &["vgem"],
            Self::Ipmi => &["ipmi_si", "ipmi_devintf"],
        }
    }

    /// Its word in the name of a kernel's folder.
    fn word(self) -> &'static str {
        match self {
            Self::Stub => "stub",
            Self::Vgem => "vgem",
            Self::Ipmi => "ipmi",
        }
    }
}

/// A kernel that Debian ships.
pub(super) struct Kernel {
    pub(super) name: &'static str,
    suite: &'static str,
    /// What its packages have before the architecture in their names.
    flavour: &'static str,
    pub(super) architecture: Architecture,
    /// Which scenarios are played on it.
    pub(super) driver: Driver,
    /// Parameters of the kernel beside those of every machine.
    pub(super) parameters: &'static str,
    /// Whether it is booted if no kernel is named.
    pub(super) by_default: bool,
    /// Whether it hooks functions of modules by fentry: needs type information of modules (5.11) and, on arm64, direct
    /// calls (6.4).
    fentry: bool,
}

const BACKPORTS: &str = "bookworm-backports";

/// Each kernel is from one suite of the archive, because the programs of 6.12's kbuild in trixie need a newer C library
/// than bookworm has.
pub(super) const KERNELS: &[Kernel] = &[
    cloud("6.1", "bookworm").by_default(),
    cloud("6.12", BACKPORTS).by_default(),
    vgem("6.12-preempt", BACKPORTS, "", "preempt=full").by_default(),
    vgem("6.12-rt", BACKPORTS, "rt-", RT).by_default(),
    Kernel {
        driver: Driver::Ipmi,
        ..vgem("6.1-ipmi", "bookworm", "", "")
    }
    .by_default(),
    vgem("6.12-voluntary", BACKPORTS, "", "preempt=voluntary"),
    vgem("6.1-preempt", "bookworm", "", "preempt=full"),
    vgem("6.1-rt", "bookworm", "rt-", RT),
    Kernel {
        fentry: false,
        ..cloud("5.10", "bullseye")
    },
    Kernel {
        architecture: Architecture::Aarch64,
        fentry: false,
        ..cloud("arm64-6.1", "bookworm")
    },
    Kernel {
        architecture: Architecture::Aarch64,
        ..cloud("arm64-6.12", BACKPORTS)
    },
];

/// Parameters of RT kernels. Threads of interrupts let the emulated serial port look stuck, and the kernel says so in the
/// midst of the files.
const RT: &str = "noirqdebug";

/// The smallest kernel, with the stub.
const fn cloud(name: &'static str, suite: &'static str) -> Kernel {
    Kernel {
        name,
        suite,
        flavour: "cloud-",
        architecture: Architecture::X86_64,
        driver: Driver::Stub,
        parameters: "",
        by_default: false,
        fentry: true,
    }
}

/// A kernel that has `vgem`.
const fn vgem(name: &'static str, suite: &'static str, flavour: &'static str, parameters: &'static str) -> Kernel {
    Kernel {
        flavour,
        driver: Driver::Vgem,
        parameters,
        ..cloud(name, suite)
    }
}

impl Kernel {
    const fn by_default(self) -> Self {
        Self {
            by_default: true,
            ..self
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name, suite, flavour, ..
        } = self;
        write!(out, "{name:<20} {flavour}{} of {suite}", self.architecture.debian())?;
        if !self.parameters.is_empty() {
            write!(out, " with {}", self.parameters)?;
        }
        if self.by_default {
            write!(out, ", by default")?;
        }
        Ok(())
    }
}

/// Files of a machine.
pub(super) struct Obtained {
    /// Image of the kernel.
    pub(super) image: PathBuf,
    /// Folder of the driver: the stub's builds, `plain/` and, if the kernel supports it, `btf/`; or the kernel's modules
    /// with their `order`.
    pub(super) driver: PathBuf,
}

impl Kernel {
    /// Downloads the kernel on the first call, and builds the stub.
    pub(super) fn obtain(&self) -> Result<Obtained> {
        let folder = cache()?.join(match self.driver {
            Driver::Stub => format!("{}-{}", self.suite, self.architecture.debian()),
            other => format!(
                "{}-{}-{}{}",
                self.suite,
                other.word(),
                self.flavour,
                self.architecture.debian()
            ),
        });
        let path = folder.display().to_string();
        let mut arguments = vec![path.as_str(), self.suite, self.architecture.debian(), self.flavour];
        arguments.extend(self.driver.modules());
        script("kernel.sh", &arguments).context(ARCHIVE)?;
        let image = folder.join("vmlinuz");
        if self.driver != Driver::Stub {
            return Ok(Obtained {
                image,
                driver: folder.join("modules"),
            });
        }
        let types = folder.join("vmlinux.btf");
        let mut arguments = vec![folder.display().to_string(), self.architecture.prefix().to_owned()];
        if self.fentry {
            if !types.exists() {
                std::fs::write(&types, types::of(&image)?)?;
            }
            arguments.push(types.display().to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        script("stub.sh", &arguments).context(
            "the stub needs make, bc, the kernel's compiler and pahole (apt-get install make bc gcc dwarves)",
        )?;
        Ok(Obtained {
            image,
            driver: folder.join("stub"),
        })
    }
}

/// Path of a file in `xtask/vm`.
pub(super) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name)
}

/// Cache of kernels and packages.
fn cache() -> Result<PathBuf> {
    Ok(tools::cache()?.with_file_name("vm"))
}

fn script(name: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new("bash")
        .arg(data(name))
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!(
            "{name} ended with {}: {}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Folder of the unpacked packages.
pub(super) fn package(suite: &str, architecture: Architecture, names: &[&str]) -> Result<PathBuf> {
    let folder = cache()?.join(format!("{}-{suite}-{}", names[0], architecture.debian()));
    let path = folder.display().to_string();
    let arguments: Vec<&str> = [path.as_str(), suite, architecture.debian()]
        .into_iter()
        .chain(names.iter().copied())
        .collect();
    script("package.sh", &arguments).context(ARCHIVE)?;
    Ok(folder)
}
