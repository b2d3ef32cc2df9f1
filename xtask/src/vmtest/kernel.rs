//! The kernels, and what is got and built for them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tools;

const ARCHIVE: &str = "packages come from Debian's archive by apt-get; ACCELSCOPE_DEBIAN_MIRROR names a mirror";

/// A machine's instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    Aarch64,
}

impl Architecture {
    /// Debian's name of it.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// What begins the names of its compiler and binutils.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu-",
            Self::Aarch64 => "aarch64-linux-gnu-",
        }
    }
}

/// A kernel that Debian ships.
pub(super) struct Kernel {
    pub(super) name: &'static str,
    suite: &'static str,
    pub(super) architecture: Architecture,
    /// Whether it is booted where none is named.
    pub(super) by_default: bool,
    /// Whether it takes type information from modules, which 5.11 was the first to do.
    module_types: bool,
}

/// From one suite of the archive each, because the programs of 6.12's kbuild in trixie need a newer C library than
/// bookworm has.
pub(super) const KERNELS: &[Kernel] = &[
    Kernel {
        name: "6.1",
        suite: "bookworm",
        architecture: Architecture::X86_64,
        by_default: true,
        module_types: true,
    },
    Kernel {
        name: "6.12",
        suite: "bookworm-backports",
        architecture: Architecture::X86_64,
        by_default: true,
        module_types: true,
    },
    Kernel {
        name: "5.10",
        suite: "bullseye",
        architecture: Architecture::X86_64,
        by_default: false,
        module_types: false,
    },
    Kernel {
        name: "arm64-6.1",
        suite: "bookworm",
        architecture: Architecture::Aarch64,
        by_default: false,
        module_types: true,
    },
];

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, suite, .. } = self;
        write!(out, "{name:<20} {} of {suite}", self.architecture.debian())?;
        if self.by_default {
            write!(out, ", by default")?;
        }
        Ok(())
    }
}

/// What a machine is made from.
pub(super) struct Obtained {
    /// The kernel itself.
    pub(super) image: PathBuf,
    /// The folder of the stub's builds: `plain/`, and `btf/` where the kernel can use it.
    pub(super) stub: PathBuf,
}

impl Kernel {
    /// Gets it from the archive the first time, and builds the stub.
    pub(super) fn obtain(&self) -> Result<Obtained> {
        let folder = cache()?.join(format!("{}-{}", self.suite, self.architecture.debian()));
        script(
            "kernel.sh",
            &[&folder.display().to_string(), self.suite, self.architecture.debian()],
        )
        .context("the packages come from Debian's archive by apt-get; ACCELSCOPE_DEBIAN_MIRROR names a mirror")?;
        let image = folder.join("vmlinuz");
        let types = folder.join("vmlinux.btf");
        let mut arguments = vec![folder.display().to_string(), self.architecture.prefix().to_owned()];
        if self.module_types {
            if !types.exists() {
                std::fs::write(&types, types_of(&image)?)?;
            }
            arguments.push(types.display().to_string());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        script("stub.sh", &arguments).context(
            "the stub needs make, bc, the kernel's compiler and pahole (apt-get install make bc gcc dwarves)",
        )?;
        Ok(Obtained {
            image,
            stub: folder.join("stub"),
        })
    }
}

/// A file of `xtask/vm`.
pub(super) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vm").join(name)
}

/// Where kernels and packages are kept.
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

/// The unpacked files of packages.
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

/// The beginning of raw type information, version 1, with a header of 24 bytes (`struct btf_header`, include/uapi/linux/btf.h),
/// in either machine's byte order, which is little.
const TYPES: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];

/// How a kernel's image may be packed, and what unpacks it.
const PACKED: &[(&[u8], &str)] = &[
    (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    (&[0x1f, 0x8b, 8], "gzip"),
];

/// The type information in a kernel's image. An image names neither its packing nor where it begins, so every place that
/// looks like a beginning is tried, as the kernel's own scripts/extract-vmlinux does.
fn types_of(image: &Path) -> Result<Vec<u8>> {
    let packed = std::fs::read(image)?;
    if let Some(types) = types_in(&packed) {
        return Ok(types);
    }
    for (magic, program) in PACKED {
        for at in places(&packed, magic).take(8) {
            if let Some(types) = types_in(&unpack(program, &packed[at..])?) {
                return Ok(types);
            }
        }
    }
    bail!("{} has no type information (BTF)", image.display())
}

fn places<'a>(bytes: &'a [u8], pattern: &'a [u8]) -> impl Iterator<Item = usize> {
    bytes
        .windows(pattern.len())
        .enumerate()
        .filter_map(move |(at, window)| (window == pattern).then_some(at))
}

/// What the program makes of it; it may complain of what follows.
fn unpack(program: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()?;
    std::io::Write::write_all(&mut file, bytes)?;
    std::io::Seek::rewind(&mut file)?;
    let output = Command::new(program)
        .args(["-d", "-c"])
        .stdin(file)
        .output()
        .with_context(|| format!("cannot run {program} (apt-get install lz4 zstd xz-utils)"))?;
    Ok(output.stdout)
}

/// The largest one: there may be words that only look like the beginning of another.
fn types_in(bytes: &[u8]) -> Option<Vec<u8>> {
    places(bytes, &TYPES)
        .filter_map(|at| sized(&bytes[at..]).ok())
        .max_by_key(|found| found.len())
        .filter(|found| found.len() > 1 << 20)
        .map(<[u8]>::to_vec)
}

fn sized(bytes: &[u8]) -> Result<&[u8]> {
    let word = |at: usize| -> Result<usize> {
        let word = bytes.get(at..at + 4).context("cut off")?;
        Ok(u32::from_le_bytes(word.try_into()?) as usize)
    };
    let (types_at, types, names_at, names) = (word(8)?, word(12)?, word(16)?, word(20)?);
    ensure!(names_at == types_at + types, "the names do not follow the types");
    bytes.get(..24 + names_at + names).context("cut off")
}
