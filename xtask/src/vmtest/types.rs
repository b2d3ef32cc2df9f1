//! A kernel's own type information (BTF), read from its image.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Start of raw type information, version 1, with a header of 24 bytes (`struct btf_header`, include/uapi/linux/btf.h),
/// in the byte order of both architectures, little-endian.
const TYPES: [u8; 8] = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];

/// Compression formats of kernel images, with the programs that decompress them.
const PACKED: &[(&[u8], &str)] = &[
    (&[0x02, 0x21, 0x4c, 0x18], "lz4"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
    (&[0x1f, 0x8b, 8], "gzip"),
];

/// Type information in a kernel's image. An image has no pointer to its compressed data, so every occurrence of a
/// format's magic number is tried, as the kernel's own scripts/extract-vmlinux does.
pub(super) fn of(image: &Path) -> Result<Vec<u8>> {
    let packed = std::fs::read(image)?;
    if let Some(types) = within(&packed) {
        return Ok(types);
    }
    for (magic, program) in PACKED {
        for at in places(&packed, magic).take(8) {
            if let Some(types) = within(&unpack(program, &packed[at..])?) {
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

/// Output of the program, which may fail on data after the end of the stream.
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

/// The largest one: other bytes may look like the start of another.
fn within(bytes: &[u8]) -> Option<Vec<u8>> {
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
