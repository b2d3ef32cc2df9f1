//! One process's monitor file: its name, and the steps in which HailoRT writes it
//! (hailort/common/filesystem.cpp and libhailort/src/utils/profiler/monitor_handler.cpp, 4.10 to 5.2).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::SimulateError;
use super::options::WriteMode;

/// Buffer of protobuf's `FileOutputStream`, through which the runtime writes: a larger message takes several writes.
const BLOCK: usize = 8192;

/// Removed when the value is dropped, as the runtime's destructor does at a normal end; a killed process leaves it.
pub(super) struct MonitorFile {
    dir: PathBuf,
    path: PathBuf,
    mode: WriteMode,
}

/// Everyone may, less the umask: the directory usually ends up the first user's alone.
pub(super) fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o777).create(dir)
}

impl MonitorFile {
    /// Reserves a name. The placeholder of that name is gone at once, because the runtime returns its owner by value
    /// and destroys the original; the file appears with the first write.
    pub(super) fn create(dir: &Path, pid: u32, mode: WriteMode) -> Result<Self, SimulateError> {
        create_dir(dir).map_err(|source| SimulateError::Directory {
            path: dir.to_owned(),
            source,
        })?;
        let placeholder = tempfile::Builder::new()
            .prefix(&pid.to_string())
            .rand_bytes(6)
            .tempfile_in(dir)
            .map_err(|source| SimulateError::Placeholder {
                path: dir.to_owned(),
                source,
            })?;
        let path = placeholder.path().to_owned();
        // Closed first and then unlinked, in the runtime's order.
        drop(placeholder.into_temp_path());
        Ok(Self {
            dir: dir.to_owned(),
            path,
            mode,
        })
    }

    /// One write of the whole message.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self.mode {
            WriteMode::InPlace => write_locked(&mut open(&self.path)?, bytes),
            WriteMode::Rename => {
                // 5.0 and later bring a removed directory back.
                create_dir(&self.dir)?;
                let mut scratch = self.path.clone().into_os_string();
                scratch.push(".tmp");
                let mut file = open(Path::new(&scratch))?;
                write_locked(&mut file, bytes)?;
                // The lock and the descriptor outlive the rename.
                std::fs::rename(&scratch, &self.path)
            }
        }
    }
}

impl Drop for MonitorFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "the monitor file stays behind; remove it by hand");
        }
    }
}

/// `fopen(path, "w")`.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o666)
        .open(path)
}

/// The file is already truncated when the lock is tried: a reader who holds it leaves the file empty until the next
/// write.
fn write_locked(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    flock(&*file, FlockOperation::NonBlockingLockExclusive)?;
    bytes.chunks(BLOCK).try_for_each(|block| file.write_all(block))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_name_is_the_pid_and_six_characters_and_appears_with_the_first_write() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("hmon_files");
        for mode in [WriteMode::InPlace, WriteMode::Rename] {
            let file = MonitorFile::create(&dir, 149_635, mode).unwrap();
            assert!(names(&dir).is_empty(), "the placeholder is gone");
            file.write(b"message").unwrap();
            let [name] = &names(&dir)[..] else {
                panic!("{:?}", names(&dir))
            };
            let suffix = name.strip_prefix("149635").unwrap();
            assert!(
                suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{name}"
            );
            assert_eq!(std::fs::read(dir.join(name)).unwrap(), b"message");
            drop(file);
            assert!(names(&dir).is_empty(), "a normal end removes the file");
        }
    }

    #[test]
    fn permissions_are_those_of_a_plain_fopen_and_mkdir() {
        let parent = tempfile::tempdir().unwrap();
        let (dir, plain) = (parent.path().join("hmon_files"), parent.path().join("plain"));
        std::fs::write(&plain, "").unwrap();
        let bits = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        for mode in [WriteMode::InPlace, WriteMode::Rename] {
            let file = MonitorFile::create(&dir, 1, mode).unwrap();
            file.write(b"message").unwrap();
            assert_eq!(bits(&file.path), bits(&plain));
        }
        std::fs::create_dir(parent.path().join("other")).unwrap();
        assert_eq!(bits(&dir), bits(&parent.path().join("other")));
    }

    #[test]
    fn in_place_keeps_the_inode_and_rename_does_not() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, kept) in [(WriteMode::InPlace, true), (WriteMode::Rename, false)] {
            let file = MonitorFile::create(dir.path(), 1, mode).unwrap();
            file.write(b"a longer first message").unwrap();
            // Held open, so that its number cannot be given to the next file.
            let first = File::open(&file.path).unwrap();
            file.write(b"second").unwrap();
            assert_eq!(
                first.metadata().unwrap().ino() == file.path.metadata().unwrap().ino(),
                kept
            );
            assert_eq!(std::fs::read(&file.path).unwrap(), b"second");
        }
    }

    #[test]
    fn a_reader_who_locks_blanks_a_file_that_is_written_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let file = MonitorFile::create(dir.path(), 1, WriteMode::InPlace).unwrap();
        file.write(b"first").unwrap();
        let reader = File::open(&file.path).unwrap();
        flock(&reader, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(file.write(b"second").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(
            std::fs::read(&file.path).unwrap(),
            b"",
            "truncated before the lock was refused"
        );
        drop(reader);
        file.write(b"third").unwrap();
        assert_eq!(std::fs::read(&file.path).unwrap(), b"third");
    }

    #[test]
    fn a_removed_directory_comes_back_only_with_rename() {
        let parent = tempfile::tempdir().unwrap();
        for (mode, back) in [(WriteMode::InPlace, false), (WriteMode::Rename, true)] {
            let dir = parent.path().join("hmon_files");
            let file = MonitorFile::create(&dir, 1, mode).unwrap();
            file.write(b"first").unwrap();
            std::fs::remove_dir_all(&dir).unwrap();
            assert_eq!(file.write(b"second").is_ok(), back);
            assert_eq!(dir.exists(), back);
        }
    }
}
