//! A value that is made from files, and made again when they change.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use accelscope_core::host::answering::ask;
use accelscope_core::host::bounded::read_regular;

/// Upper bound of a file in bytes; certificate stores of whole systems have 200 KiB.
const MAX_BYTES: usize = 1 << 20;
/// Age from which a file's times tell all its versions apart: file systems keep them in steps of up to two seconds.
const SETTLED: Duration = Duration::from_secs(3);

/// A file of a listener that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {}: {problem}", file.display())]
pub struct FileError {
    /// The configuration's key of the file.
    pub key: String,
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, and the remedy.
    pub problem: String,
}

/// A file and the configuration's key that names it.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) key: String,
    pub(super) file: PathBuf,
}

impl Named {
    pub(super) fn error(&self, problem: impl Into<String>) -> FileError {
        FileError {
            key: self.key.clone(),
            file: self.file.clone(),
            problem: problem.into(),
        }
    }

    fn read(&self) -> Result<Vec<u8>, FileError> {
        let error = |error: io::Error| self.error(format!("{error}; let the agent's user read a regular file there"));
        read_regular(&self.file, MAX_BYTES).map_err(error)
    }
}

type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, FileError> + Send + Sync>;

/// A value and the files that it is made of.
pub(super) struct Watched<T> {
    files: Vec<Named>,
    make: Make<T>,
    latest: Mutex<Option<Latest<T>>>,
}

struct Latest<T> {
    versions: Vec<Option<Version>>,
    value: Result<Arc<T>, FileError>,
}

impl<T> Watched<T> {
    /// `make` gets the contents of `files` in their order.
    pub(super) fn new(
        files: Vec<Named>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, FileError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            files,
            make: Box::new(make),
            latest: Mutex::default(),
        }
    }

    /// The value of the files as they are. They are looked at each time and read when they have changed, so that a rotated
    /// secret, also one behind Kubernetes' links, is effective at once.
    pub(super) fn get(&self) -> Result<Arc<T>, FileError> {
        let versions: Vec<_> = self.files.iter().map(|named| Version::of(&named.file)).collect();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latest) = &*latest
            && latest.versions == versions
            && versions
                .iter()
                .all(|version| version.as_ref().is_some_and(Version::is_settled))
        {
            return latest.value.clone();
        }
        let contents: Result<Vec<_>, _> = self.files.iter().map(Named::read).collect();
        let value = contents.and_then(|contents| (self.make)(&contents)).map(Arc::new);
        *latest = Some(Latest {
            versions,
            value: value.clone(),
        });
        value
    }
}

/// What changes when a file is replaced or written.
#[derive(PartialEq, Eq)]
struct Version {
    place: (u64, u64),
    size: u64,
    times: [(i64, i64); 2],
    modified: Option<SystemTime>,
}

impl Version {
    fn of(file: &Path) -> Option<Self> {
        let of = |file: Metadata| Self {
            place: (file.dev(), file.ino()),
            size: file.size(),
            times: [(file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec())],
            modified: file.modified().ok(),
        };
        ask(file, |file| std::fs::metadata(file)).ok().map(of)
    }

    fn is_settled(&self) -> bool {
        let age = self.modified.and_then(|modified| modified.elapsed().ok());
        age.is_some_and(|age| age > SETTLED)
    }
}
