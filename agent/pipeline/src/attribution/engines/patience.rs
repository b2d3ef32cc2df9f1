//! Reads engines' files on threads: any file system may not answer, and any file may be kept by a process that does not go on.
//! Then the names from there are missing, and nothing else waits.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use accelscope_core::host::callers::Callers;

use super::files::Files;

/// Longest wait for one read of root's files, and of others'.
const PATIENCE_NODES: Duration = Duration::from_secs(10);
const PATIENCE_OTHERS: Duration = Duration::from_secs(2);
/// From when on a read of root's files is slow, and of others': a node that is busy is no reason to do without its names.
const SLOW_NODES: Duration = Duration::from_secs(3);
const SLOW_OTHERS: Duration = Duration::from_millis(500);
/// How long the author of a slow read is left alone, as a multiple of the time that it took.
const REST: u32 = 50;
/// Waiting that all reads may cost together, of each kind: at once, as a multiple of the longest wait for one, and as a part of
/// the time.
const MAX_WAITS: u32 = 2;
const PART_WAITING: u32 = 10;
/// Most reads of root's files, and of others', that have not returned.
const MAX_HUNG_NODES: usize = 16;
const MAX_HUNG_OTHERS: usize = 8;

/// Authors beyond whom those are forgotten that are no longer left alone.
const MAX_RESTING: usize = 64;

/// Who decides whether a read returns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Author {
    /// Root, for this directory of the node.
    Node(PathBuf),
    Container(String),
    User(u32),
    /// Of a home whose user has no name here.
    Home(PathBuf),
}

impl fmt::Display for Author {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(path) | Self::Home(path) => path.display().fmt(formatter),
            Self::Container(id) => write!(formatter, "an engine's files in container {id}"),
            Self::User(user) => write!(formatter, "an engine's files of user {user}"),
        }
    }
}

/// The threads, and who is left alone.
#[derive(Debug)]
pub(super) struct Patience {
    nodes: Allowance,
    others: Allowance,
    resting: HashMap<Author, Rest>,
}

#[derive(Debug)]
struct Rest {
    returned: Arc<AtomicBool>,
    until: Instant,
}

/// Threads for reads, and for how long they may still be waited for.
#[derive(Debug)]
struct Allowance {
    callers: Callers,
    patience: Duration,
    slow: Duration,
    left: Duration,
    at: Instant,
}

impl Allowance {
    fn new(callers: Callers, patience: Duration, slow: Duration) -> Self {
        Self {
            callers,
            patience,
            slow,
            left: patience * MAX_WAITS,
            at: Instant::now(),
        }
    }

    fn refill(&mut self) {
        let now = Instant::now();
        let more = now.duration_since(std::mem::replace(&mut self.at, now)) / PART_WAITING;
        self.left = (self.left + more).min(self.patience * MAX_WAITS);
    }
}

impl Patience {
    pub(super) fn new() -> Self {
        Self {
            nodes: Allowance::new(Callers::new("engine-files", MAX_HUNG_NODES), PATIENCE_NODES, SLOW_NODES),
            others: Allowance::new(
                Callers::rare("user-files", MAX_HUNG_OTHERS),
                PATIENCE_OTHERS,
                SLOW_OTHERS,
            ),
            resting: HashMap::new(),
        }
    }

    /// What `read` returns; nothing if it does not in time. Then its author is left alone, at least until it has returned.
    pub(super) fn read<T: Send + 'static>(
        &mut self,
        author: Author,
        files: &Files,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if let Some(rest) = self.resting.get(&author) {
            if !rest.returned.load(Ordering::Acquire) || Instant::now() < rest.until {
                return None;
            }
            self.resting.remove(&author);
            files.answers(&author);
        }
        let allowance = match author {
            Author::Node(_) => &mut self.nodes,
            _ => &mut self.others,
        };
        allowance.refill();
        if allowance.left.is_zero() {
            return None;
        }
        let returned = Arc::new(AtomicBool::new(false));
        let ends = returned.clone();
        let call = allowance.callers.start(move || {
            let result = read();
            ends.store(true, Ordering::Release);
            result
        });
        let call = call
            .inspect_err(|error| tracing::debug!(%author, %error, "not read"))
            .ok()?;
        let result = call.wait(Instant::now() + allowance.patience.min(allowance.left));
        let took = call.age();
        allowance.left = allowance.left.saturating_sub(took);
        if result.is_none() {
            files.does_not_answer(&author);
        }
        if result.is_none() || took > allowance.slow {
            let now = Instant::now();
            let until = now + took * REST;
            if self.resting.len() >= MAX_RESTING {
                let is_over = |rest: &Rest| rest.returned.load(Ordering::Acquire) && now >= rest.until;
                self.resting.retain(|_, rest| !is_over(rest));
            }
            self.resting.insert(author, Rest { returned, until });
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use accelscope_core::host::HostRoots;

    use super::*;

    #[test]
    fn who_does_not_answer_is_left_alone_and_the_others_are_read() {
        let (mut patience, files) = (Patience::new(), Files::new(&HostRoots::new("/nonexistent")));
        let (end, ends) = channel::<()>();
        let user = Author::User;
        let begun = Instant::now();
        assert_eq!(patience.read(user(7), &files, move || ends.recv().is_ok()), None);
        for _ in 0..50 {
            assert_eq!(patience.read(user(7), &files, || 1), None);
        }
        assert_eq!(patience.read(user(8), &files, || 1), Some(1));
        assert_eq!(patience.read(Author::Node("/a".into()), &files, || 1), Some(1));
        assert!(begun.elapsed() < 25 * PATIENCE_OTHERS, "it was waited for once");
        let [(_, reason)] = &files.unusable()[..] else { panic!() };
        assert!(reason.contains("answer"), "{reason}");
        drop(end);
    }

    #[test]
    fn many_who_do_not_answer_cost_a_part_of_the_time() {
        let (mut patience, files) = (Patience::new(), Files::new(&HostRoots::new("/nonexistent")));
        let begun = Instant::now();
        let mut ends = Vec::new();
        for uid in 0..100 {
            let (end, hung) = channel::<()>();
            ends.push(end);
            patience.read(Author::User(uid), &files, move || hung.recv().is_ok());
        }
        assert!(begun.elapsed() < 50 * PATIENCE_OTHERS, "{:?}", begun.elapsed());
        assert_eq!(patience.read(Author::Node("/a".into()), &files, || 1), Some(1));
    }
}
