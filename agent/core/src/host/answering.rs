//! Calls of file systems on a path that a person names. Those of a network or of FUSE may not answer, even where a regular file
//! answered before, and then the call cannot be ended: it is left to its thread.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::callers::Callers;

/// Time for a file to be looked at, or opened and read.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Most calls that have not returned.
const MAX_HUNG: usize = 64;

static CALLERS: LazyLock<Callers> = LazyLock::new(|| Callers::rare("named-files", MAX_HUNG));

/// The calls that have not returned in time, and whether they have since.
static HUNG: LazyLock<Mutex<HashMap<PathBuf, Arc<AtomicBool>>>> = LazyLock::new(Mutex::default);

/// The result of `call`, which asks the file system of `path`. An error of kind [`io::ErrorKind::TimedOut`] if it does not
/// return within [`PATIENCE`]; at once while an earlier call for that path has not returned.
pub fn ask<T: Send + 'static>(
    path: &Path,
    call: impl Fn(&Path) -> io::Result<T> + Clone + Send + 'static,
) -> io::Result<T> {
    if hung()
        .get(path)
        .is_some_and(|returned| !returned.load(Ordering::Acquire))
    {
        return Err(silent());
    }
    let returned = Arc::<AtomicBool>::default();
    let (here, asked, returns) = (call.clone(), path.to_owned(), returned.clone());
    let started = CALLERS.start(move || {
        let result = call(&asked);
        returns.store(true, Ordering::Release);
        result
    });
    let started = match started {
        Ok(started) => started,
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(error),
        // Without another thread it is asked here.
        Err(_) => return here(path),
    };
    if let Some(result) = started.wait(Instant::now() + PATIENCE) {
        hung().remove(path);
        return result;
    }
    let mut hung = hung();
    hung.retain(|_, returned| !returned.load(Ordering::Acquire));
    hung.insert(path.to_owned(), returned);
    Err(silent())
}

fn hung() -> MutexGuard<'static, HashMap<PathBuf, Arc<AtomicBool>>> {
    HUNG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn silent() -> io::Error {
    let what = format!(
        "its file system does not answer within {} s; end what serves it, unmount it (`umount -l`), or name a file elsewhere",
        PATIENCE.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{CWD, Mode};

    use super::*;

    /// A FIFO without a writer stands for a file whose server does not answer: its opening does not return.
    #[test]
    fn what_does_not_return_is_waited_for_once_and_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (hung, other) = (folder.path().join("hung"), folder.path().join("other"));
        rustix::fs::mkfifoat(CWD, &hung, Mode::RUSR | Mode::WUSR).unwrap();
        std::fs::write(&other, "text").unwrap();
        let open = |path: &Path| File::open(path).map(drop);
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        let begun = Instant::now();
        assert_eq!(kind(ask(&hung, open)), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= PATIENCE);
        let begun = Instant::now();
        for _ in 0..2 * MAX_HUNG {
            assert_eq!(kind(ask(&hung, open)), io::ErrorKind::TimedOut);
        }
        assert!(
            begun.elapsed() < 10 * PATIENCE,
            "without another wait, and without another thread"
        );
        ask(&other, open).unwrap();
        // The call returns.
        let _writer = File::options().write(true).open(&hung).unwrap();
        while kind_or_none(ask(&hung, open)).is_some() {
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
    }

    fn kind_or_none(result: io::Result<()>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn an_error_of_the_file_is_that_of_the_file() {
        let absent = Path::new("/nonexistent/file");
        let error = ask(absent, |path| std::fs::metadata(path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
