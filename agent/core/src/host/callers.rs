//! Threads for calls that may never return: those of a file system whose server does not answer. Such a call costs its thread
//! and nothing else; the caller waits as long as it chooses, and may ask later.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Stack of a thread in bytes; the calls read small files.
const STACK: usize = 256 << 10;

/// Parts in which a time is waited for.
const TURNS: u32 = 10;

/// Gives the result of the call to whoever waits for it.
type Deliver = Box<dyn FnOnce() + Send>;

/// A call, and the way to its thread, which is free for another one afterwards.
struct Job {
    call: Box<dyn FnOnce() -> Deliver + Send>,
    thread: Sender<Job>,
}

/// What the threads share.
#[derive(Debug, Default)]
struct Shared {
    /// Whether a thread stays for the next call.
    keeps: bool,
    /// The free thread.
    idle: Mutex<Option<Sender<Job>>>,
    busy: AtomicUsize,
}

/// The threads. There is one at most as long as each call returns before the next.
#[derive(Debug)]
pub struct Callers {
    name: &'static str,
    most: usize,
    shared: Arc<Shared>,
}

/// A thread that waits for its call.
#[derive(Debug)]
pub struct Free<'a> {
    shared: &'a Shared,
    thread: Sender<Job>,
}

/// A call that was started.
pub struct Call<T> {
    result: Receiver<std::thread::Result<T>>,
    started: Instant,
}

impl Callers {
    /// With at most `most` calls that have not returned.
    pub fn new(name: &'static str, most: usize) -> Self {
        Self::keeping(true, name, most)
    }

    /// The same for rare calls: no thread waits for the next one.
    pub fn rare(name: &'static str, most: usize) -> Self {
        Self::keeping(false, name, most)
    }

    fn keeping(keeps: bool, name: &'static str, most: usize) -> Self {
        let shared = Shared {
            keeps,
            ..Shared::default()
        };
        Self {
            name,
            most,
            shared: Arc::new(shared),
        }
    }

    /// Starts a call. Fails if too many have not returned, or the system gives no thread.
    pub fn start<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> io::Result<Call<T>> {
        Ok(self.reserve()?.start(call))
    }

    /// A thread for a call that takes what must not be lost where there is none. Fails as [`start`](Self::start) does.
    pub fn reserve(&self) -> io::Result<Free<'_>> {
        if self.shared.busy.load(Ordering::Relaxed) >= self.most {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} calls of file systems have not returned", self.most),
            ));
        }
        let idle = lock(&self.shared.idle).take();
        let thread = match idle {
            Some(thread) => thread,
            None => self.spawn()?,
        };
        Ok(Free {
            shared: &self.shared,
            thread,
        })
    }

    fn spawn(&self) -> io::Result<Sender<Job>> {
        let (thread, jobs) = channel();
        let shared = Arc::downgrade(&self.shared);
        std::thread::Builder::new()
            .name(self.name.to_owned())
            .stack_size(STACK)
            .spawn(move || run(&jobs, &shared))?;
        Ok(thread)
    }
}

impl Free<'_> {
    /// Starts the call.
    pub fn start<T: Send + 'static>(self, call: impl FnOnce() -> T + Send + 'static) -> Call<T> {
        let (deliver, result) = channel();
        let call = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(call));
            // Nobody may wait for it any more.
            Box::new(move || drop(deliver.send(result))) as Deliver
        });
        self.shared.busy.fetch_add(1, Ordering::Relaxed);
        let job = Job {
            call,
            thread: self.thread.clone(),
        };
        // It waits for its call as long as there is a way to it, and cannot panic in one.
        self.thread.send(job).ok();
        Call {
            result,
            started: Instant::now(),
        }
    }
}

/// Ends when another thread is free, or nobody starts calls any more.
fn run(jobs: &Receiver<Job>, shared: &Weak<Shared>) {
    while let Ok(Job { call, thread }) = jobs.recv() {
        let deliver = call();
        let mut is_needed = false;
        if let Some(shared) = shared.upgrade() {
            shared.busy.fetch_sub(1, Ordering::Relaxed);
            let mut idle = lock(&shared.idle);
            is_needed = shared.keeps && idle.is_none();
            if is_needed {
                *idle = Some(thread);
            }
        }
        deliver();
        if !is_needed {
            return;
        }
    }
}

fn lock(idle: &Mutex<Option<Sender<Job>>>) -> std::sync::MutexGuard<'_, Option<Sender<Job>>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Call<T> {
    /// Its result, if it returns until then.
    ///
    /// # Panics
    ///
    /// If the call has panicked.
    pub fn wait(&self, until: Instant) -> Option<T> {
        match self
            .result
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            Ok(Ok(result)) => Some(result),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Its result, if it returns within that time. Of a time in which the machine stands still only a part counts: the call
    /// did not go on either.
    ///
    /// # Panics
    ///
    /// If the call has panicked.
    pub fn wait_for(&self, patience: Duration) -> Option<T> {
        (0..TURNS).find_map(|_| self.wait(Instant::now() + patience / TURNS))
    }

    /// Time since its start.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn one_thread_makes_all_calls_that_return() {
        let callers = Callers::new("test", 1);
        let id = || {
            callers
                .start(|| std::thread::current().id())
                .unwrap()
                .wait(soon())
                .unwrap()
        };
        let first = id();
        assert!((0..10).all(|_| id() == first));
    }

    #[test]
    fn a_call_that_does_not_return_costs_its_thread_until_it_does() {
        let callers = Callers::new("test", 2);
        let (end, ends) = channel::<()>();
        let hung = callers.start(move || ends.recv().is_ok()).unwrap();
        assert!(hung.wait(Instant::now()).is_none());
        assert_eq!(callers.start(|| 7).unwrap().wait(soon()), Some(7), "another goes on");
        let (keep, kept) = channel::<()>();
        let second = callers.start(move || kept.recv().is_ok()).unwrap();
        assert_eq!(callers.start(|| 7).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        end.send(()).unwrap();
        assert_eq!(hung.wait(soon()), Some(true));
        assert_eq!(callers.start(|| 7).unwrap().wait(soon()), Some(7));
        drop(keep);
        assert_eq!(second.wait(soon()), Some(false));
    }
}
