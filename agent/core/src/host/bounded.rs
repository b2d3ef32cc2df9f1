//! Reads files of unknown size under a limit.

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::answering::ask;

/// The whole file, or an error of kind [`io::ErrorKind::FileTooLarge`] if it is longer than `most` bytes. For files of the
/// kernel; one that a person names is read by [`read_regular`].
pub fn read_bounded(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = open_now(path)?;
    let bytes = bounded(&file, most)?;
    // The kernel has files that are empty, and a FIFO that nobody writes to reads as one.
    if bytes.is_empty() && file.metadata()?.file_type().is_fifo() {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(bytes)
}

/// As [`read_bounded`], of a descriptor that this process was given (`/dev/fd/3`): it is read until its end, however long its
/// writer takes.
pub fn read_given(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, most)
}

/// Opens a file of the kernel for reading. Where a FIFO stands in its place, as one may below another root, it is not waited
/// for; files of the kernel and regular ones are read as ever (`O_NONBLOCK`, open(2)).
pub fn open_now(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// As [`read_bounded`], of a file that a person names. Its file system has [`PATIENCE`](super::answering::PATIENCE) to answer.
pub fn read_regular(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    ask(path, move |path| bounded(open_regular(path)?, most))
}

/// Opens a file that a person names, for reading. Anything but a regular file, or a link to one, is an error at once, since a
/// FIFO, a device or a socket may never answer. The error says what it is and what to do.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Before it is opened, since that alone may change a device's state.
    must_be_regular(&std::fs::metadata(path)?)?;
    // The name may have passed to a FIFO meanwhile.
    let file = open_now(path)?;
    must_be_regular(&file.metadata()?)?;
    Ok(file)
}

fn must_be_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let problem = format!("is {}; name a regular file", name(kind));
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

fn name(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a FIFO (named pipe)",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "no file",
    }
}

/// The rest of an open file, under the same limit.
pub(super) fn bounded(file: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {most} bytes"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused_and_not_cut() {
        assert_eq!(
            read_bounded(Path::new("/dev/zero"), 10).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_file_as_long_as_the_limit_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"0123456789").unwrap();
        assert_eq!(read_bounded(file.path(), 10).unwrap(), b"0123456789");
        assert_eq!(read_regular(file.path(), 10).unwrap(), b"0123456789");
        assert_eq!(
            read_regular(file.path(), 9).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn what_may_never_answer_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), Mode::RUSR).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        for (path, expected) in [
            (at("fifo"), "is a FIFO (named pipe); name a regular file"),
            (at("socket"), "is a socket; name a regular file"),
            (at(""), "is a directory; name a regular file"),
            ("/dev/zero".into(), "is a device; name a regular file"),
        ] {
            assert_eq!(read_regular(&path, 10).unwrap_err().to_string(), expected);
        }
        let fifo = at("fifo");
        assert_eq!(read_bounded(&fifo, 10).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // With a writer that writes nothing there is no end either.
        let _writer = File::options().read(true).write(true).open(&fifo).unwrap();
        assert_eq!(read_bounded(&fifo, 10).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_this_process_was_given_is_read_until_its_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let read = std::thread::spawn(move || read_given(Path::new(&path), 10));
        for part in [b"first", b"last!"] {
            std::io::Write::write_all(&mut writer, part).unwrap();
            std::thread::yield_now();
        }
        drop(writer);
        assert_eq!(read.join().unwrap().unwrap(), b"firstlast!");
        drop(reader);
    }

    #[test]
    fn a_link_to_a_file_is_followed_as_in_a_projected_volume() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("..2026")).unwrap();
        std::fs::write(folder.path().join("..2026/token"), b"t").unwrap();
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/token", folder.path().join("token")).unwrap();
        assert_eq!(read_regular(&folder.path().join("token"), 10).unwrap(), b"t");
    }
}
