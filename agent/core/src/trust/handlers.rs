//! Interpreters that root has registered with the kernel for files of other formats (binfmt_misc).

use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::host::bounded::read_bounded;

const PATH: &str = "/proc/sys/fs/binfmt_misc";
/// `BINFMTFS_MAGIC` (include/uapi/linux/magic.h).
const KIND: u32 = 0x4249_4e4d;
/// Longest description: a magic and a mask of up to 256 bytes in hexadecimal digits, and a path.
const MAX_BYTES: usize = 16 << 10;

/// The interpreters of a file that begins with `head`, if the kernel's list can be seen. What is mounted when somebody looks
/// (autofs) is not looked for: what root registers mounts it.
pub(super) fn of(head: &[u8], file: &Path) -> Vec<PathBuf> {
    let Ok(directory) = rustix::fs::open(PATH, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return Vec::new();
    };
    // The type is of 32 bits, and signed on some architectures.
    if !rustix::fs::fstatfs(&directory).is_ok_and(|about| about.f_type as u32 == KIND) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let entries = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let texts = entries.filter_map(|path| read_bounded(&path, MAX_BYTES).ok());
    texts.filter_map(|text| interpreter(&text, head, file)).collect()
}

/// The interpreter of an entry, if it is in use for such a file (`load_misc_binary`, fs/binfmt_misc.c).
fn interpreter(text: &[u8], head: &[u8], file: &Path) -> Option<PathBuf> {
    let lines = || text.split(|byte| *byte == b'\n');
    let value = |name: &str| {
        let mut lines = lines();
        lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b" "))
    };
    (lines().next()? == b"enabled").then_some(())?;
    let interpreter = Path::new(OsStr::from_bytes(value("interpreter")?)).to_owned();
    if let Some(extension) = value("extension") {
        let extension = extension.strip_prefix(b".")?;
        return (file.extension() == Some(OsStr::from_bytes(extension))).then_some(interpreter);
    }
    let offset: usize = std::str::from_utf8(value("offset")?).ok()?.parse().ok()?;
    let magic = bytes(value("magic")?)?;
    let mask = value("mask").and_then(bytes).unwrap_or_else(|| vec![0xff; magic.len()]);
    let at = head.get(offset..)?.get(..magic.len())?;
    let is_same = at
        .iter()
        .zip(&magic)
        .zip(&mask)
        .all(|((found, magic), mask)| (found ^ magic) & mask == 0);
    is_same.then_some(interpreter)
}

fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let pairs = digits.chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_for_files_of_its_magic_or_extension() {
        let magic = b"enabled\ninterpreter /opt/run\nflags: OC\noffset 1\nmagic 4142\nmask ff0f\n";
        let of = |text: &[u8], head: &[u8]| interpreter(text, head, Path::new("/x/tool.jar"));
        assert_eq!(of(magic, b"xAR"), Some("/opt/run".into()));
        assert_eq!(of(magic, b"xAC"), None);
        assert_eq!(of(magic, b"x"), None);
        let text = |text: &str| of(text.as_bytes(), b"");
        assert_eq!(
            text("enabled\ninterpreter /java\nflags: \nextension .jar\n"),
            Some("/java".into())
        );
        assert_eq!(text("enabled\ninterpreter /java\nflags: \nextension .ja\n"), None);
        assert_eq!(text("disabled\ninterpreter /java\nflags: \nextension .jar\n"), None);
        assert_eq!(text("enabled\n"), None, "the status of all");
    }
}
