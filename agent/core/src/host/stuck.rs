//! Reads of `/proc/<pid>` that may not return.
//!
//! A program that is started gives up its old memory under `signal->exec_update_lock` (`exec_mmap`, fs/exec.c), and waits there
//! for the file systems of its dirty mappings, of which one may be a FUSE of its own that does not answer. `stat`, `exe`, `root`,
//! `ns/*`, `fd/<n>`, `environ`, `syscall`, `wchan` and others of the process take that lock (fs/proc/base.c, Linux 6.18), and
//! neither a deadline nor a signal ends their wait. `cmdline` and `environ` may wait for a mapping, too. So they are read on a
//! thread that can be left behind. `comm`, `status`, `cgroup`, `mountinfo`, `uid_map` and the lists of descriptors and threads
//! are not of this kind.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;

use super::bounded::read_bounded;
use super::callers::Callers;
use crate::cgroup::Cgroup;
use crate::metric::catalogue::agent::PROCESS_TIMEOUTS;
use crate::telemetry;

/// Time for the reads of one process.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most reads that have not returned, of all processes and of those of one workload.
const MAX_STUCK: usize = 32;
const MAX_OF_WORKLOAD: usize = 2;
/// How long a workload is still counted once a read of it has returned.
const REST: Duration = Duration::from_mins(5);
/// Limit in bytes of `/proc/<pid>/cgroup`.
const MAX_BYTES: usize = 64 * 1024;

static CALLERS: LazyLock<Callers> = LazyLock::new(|| Callers::new("processes", MAX_STUCK));
static STUCK: LazyLock<Mutex<HashMap<u32, Stuck>>> = LazyLock::new(Mutex::default);
/// Entries of [`STUCK`], so that as long as there are none nothing is locked.
static ANY: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// On a thread that may be left behind: what it is at.
    static AT: RefCell<Option<Arc<Progress>>> = const { RefCell::new(None) };
}

/// What a thread is at.
#[derive(Debug, Default)]
struct Progress {
    /// The process of which a file is being read, and its folder.
    read: Mutex<Option<(u32, PathBuf)>>,
    /// Number of reads that have begun.
    begun: AtomicU64,
    has_ended: AtomicBool,
}

/// A process of which a read has not returned in time.
#[derive(Debug)]
struct Stuck {
    workload: String,
    at: Arc<Progress>,
    since: Instant,
}

impl Stuck {
    fn is_held(&self) -> bool {
        !self.at.has_ended.load(Ordering::Acquire)
    }
}

/// The result of `read`, which calls [`file`] for each file. It runs on a thread of its own, and again without a process whose
/// file does not let itself be read in time: it must change nothing.
///
/// Fails where too many reads have not returned.
pub fn apart<T: Send + 'static>(read: impl Fn() -> T + Clone + Send + 'static) -> io::Result<T> {
    if AT.with_borrow(Option::is_some) {
        return Ok(read());
    }
    loop {
        let progress = Arc::<Progress>::default();
        let (theirs, there) = (Ended(progress.clone()), read.clone());
        let call = CALLERS.start(move || {
            AT.set(Some(theirs.0.clone()));
            let result = there();
            AT.set(None);
            drop(theirs);
            result
        });
        let call = match call {
            Ok(call) => call,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Err(error),
            // Without another thread it is read here.
            Err(_) => return Ok(read()),
        };
        loop {
            let begun = progress.begun.load(Ordering::Acquire);
            if let Some(result) = call.wait_for(PATIENCE) {
                return Ok(result);
            }
            // Else it goes on, if slowly.
            if progress.begun.load(Ordering::Acquire) == begun
                && let Some((pid, process)) = progress.reads()
            {
                leave(pid, &process, progress);
                break;
            }
        }
    }
}

/// The result of `read`, which reads the file of that name of the process `pid`, with the folder `process`, and may not return.
/// An error of kind [`io::ErrorKind::TimedOut`] if it does not in time; at once for what is known not to.
pub(super) fn file<T: Send + 'static>(
    pid: u32,
    process: &Path,
    name: &str,
    read: impl Fn(&Path) -> io::Result<T> + Clone + Send + 'static,
) -> io::Result<T> {
    if AT.with_borrow(Option::is_none) {
        let (process, name) = (process.to_owned(), name.to_owned());
        return apart(move || file(pid, &process, &name, read.clone()))?;
    }
    if is_left_alone(pid, process) {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the kernel does not let it be read while it starts a program and waits for a file system",
        ));
    }
    set_at(Some((pid, process.to_owned())));
    let result = read(&process.join(name));
    set_at(None);
    result
}

fn set_at(read: Option<(u32, PathBuf)>) {
    AT.with_borrow(|at| {
        let Some(at) = at else { return };
        if read.is_some() {
            at.begun.fetch_add(1, Ordering::AcqRel);
        }
        *at.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
    });
}

impl Progress {
    fn reads(&self) -> Option<(u32, PathBuf)> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Marks the end of a thread's work, also where it panics.
struct Ended(Arc<Progress>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Release);
    }
}

/// Whether it is not read: a read of it has not returned, or there were enough of its workload.
fn is_left_alone(pid: u32, process: &Path) -> bool {
    if ANY.load(Ordering::Acquire) == 0 {
        return false;
    }
    {
        let mut stuck = lock();
        stuck.retain(|_, stuck| stuck.is_held() || stuck.since.elapsed() < REST);
        ANY.store(stuck.len(), Ordering::Release);
        if stuck.get(&pid).is_some_and(Stuck::is_held) {
            return true;
        }
    }
    let workload = workload(process);
    let of_it = lock().values().filter(|stuck| stuck.workload == workload).count();
    of_it >= MAX_OF_WORKLOAD
}

/// What made the process with this folder, and cannot be had in any number by whoever that is: a container, a user's slice, a
/// service.
fn workload(process: &Path) -> String {
    let text = read_bounded(&process.join("cgroup"), MAX_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let cgroup = Cgroup::parse(&text);
    if let Some(found) = cgroup.outermost.or(cgroup.unit).or(cgroup.container_id) {
        return found;
    }
    // The upper groups, which are made by root.
    let path = text.lines().last().and_then(|line| line.splitn(3, ':').nth(2));
    let upper: Vec<&str> = path.unwrap_or_default().split('/').take(3).collect();
    upper.join("/")
}

fn leave(pid: u32, process: &Path, at: Arc<Progress>) {
    let workload = workload(process);
    tracing::warn!(
        pid,
        workload,
        "the kernel does not let a process be read: it has been waiting for a file system since it started a program; what it \
         uses has no owner until it goes on: end what serves its file system (FUSE, NFS), or the process"
    );
    timeouts().add(1, &[]);
    let since = Instant::now();
    let mut stuck = lock();
    stuck.insert(pid, Stuck { workload, at, since });
    ANY.store(stuck.len(), Ordering::Release);
}

fn timeouts() -> &'static Counter<u64> {
    static TIMEOUTS: LazyLock<Counter<u64>> = LazyLock::new(|| telemetry::counter(&PROCESS_TIMEOUTS));
    &TIMEOUTS
}

/// Lets the counter begin at 0.
pub fn begin_count() {
    timeouts().add(0, &[]);
}

fn lock() -> MutexGuard<'static, HashMap<u32, Stuck>> {
    STUCK.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use rustix::fs::{CWD, Mode};

    use super::*;

    /// A process in a `/proc` of the test. A FIFO without a writer stands for a file that the kernel keeps closed.
    fn process(proc: &Path, pid: u32, cgroup: &str, is_closed: bool) -> PathBuf {
        let folder = proc.join(pid.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        let stat = folder.join("stat");
        if is_closed {
            rustix::fs::mkfifoat(CWD, &stat, Mode::RUSR | Mode::WUSR).unwrap();
        } else {
            fs::write(&stat, "").unwrap();
        }
        folder
    }

    fn read(pid: u32, process: &Path) -> Result<(), io::ErrorKind> {
        file(pid, process, "stat", |path| File::open(path).map(drop)).map_err(|error| error.kind())
    }

    #[test]
    fn who_cannot_be_read_is_waited_for_once_and_is_one_of_few_of_its_workload() {
        let proc = tempfile::tempdir().unwrap();
        let users = |session| format!("/user.slice/user-1000.slice/session-{session}.scope");
        // Ids that no process has.
        let [first, second, third] = [1, 2, 3].map(|nth| 0x7fff_0000 + nth);
        let closed = [first, second].map(|pid| process(proc.path(), pid, &users(pid), true));
        let open = process(proc.path(), third, &users(third), false);
        let other = process(proc.path(), third + 1, "/system.slice/a.service", false);

        read(third, &open).unwrap();
        let begun = Instant::now();
        assert_eq!(read(first, &closed[0]), Err(io::ErrorKind::TimedOut));
        assert!(begun.elapsed() >= PATIENCE);
        let begun = Instant::now();
        for _ in 0..100 {
            assert_eq!(read(first, &closed[0]), Err(io::ErrorKind::TimedOut));
        }
        assert!(begun.elapsed() < 50 * PATIENCE, "at once: a wait for each is a hundred");
        read(third, &open).unwrap();
        assert_eq!(read(second, &closed[1]), Err(io::ErrorKind::TimedOut));
        assert_eq!(
            read(third, &open),
            Err(io::ErrorKind::TimedOut),
            "it may be another such one"
        );
        read(third + 1, &other).unwrap();

        // Many in one go: those that can be read are.
        let folders = [(first, closed[0].clone()), (third + 1, other.clone())];
        let all = apart(move || folders.clone().map(|(pid, folder)| read(pid, &folder).is_ok())).unwrap();
        assert_eq!(all, [false, true]);

        let _writers = closed
            .each_ref()
            .map(|folder| File::options().write(true).open(folder.join("stat")).unwrap());
        let begun = Instant::now();
        while lock().values().any(Stuck::is_held) {
            assert!(begun.elapsed() < Duration::from_mins(1));
            std::thread::yield_now();
        }
        assert_eq!(read(third, &open), Err(io::ErrorKind::TimedOut), "for a while yet");
    }

    #[test]
    fn what_is_slow_but_goes_on_is_waited_for() {
        let proc = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = (0..24)
            .map(|nth| process(proc.path(), 0x7ffe_0000 + nth, "/", false))
            .collect();
        let read = apart(move || {
            let slowly = |path: &Path| {
                // Together longer than one may take.
                std::thread::sleep(PATIENCE / 20);
                fs::metadata(path).map(drop)
            };
            folders
                .iter()
                .all(|folder| file(0x7ffe_0000, folder, "stat", slowly).is_ok())
        });
        assert!(read.unwrap());
    }
}
