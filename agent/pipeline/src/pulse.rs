//! What the thread of the pipeline is at: where it does not go on, nothing is measured any more, and somebody must say so.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;

/// How long the pipeline may take for one run. What it waits for has deadlines of its own, 14 s together.
const DEADLINE: Duration = Duration::from_secs(20);

/// A pipeline that does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// Since when it is at one run.
    pub since: Instant,
    /// The sampler whose run it is; nothing between two runs.
    pub sampler: &'static str,
    /// What the kernel says of the thread.
    pub thread: String,
}

impl fmt::Display for Stall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.sampler.is_empty() { "names" } else { self.sampler };
        write!(
            formatter,
            "at the readings of {of} for {:.0} s ({})",
            self.since.elapsed().as_secs_f64(),
            self.thread
        )
    }
}

/// Shared by the thread and those who look whether it goes on.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What it is at; nothing while it waits for a run.
    busy: Option<(Instant, &'static str)>,
    /// The thread: the ids of its process and of itself, as `/proc` has them.
    thread: Option<(u32, u32)>,
    is_told: bool,
}

impl Pulse {
    /// The calling thread begins with a sampler's run, or with something else (an empty name).
    pub(super) fn begin(&self, sampler: &'static str) {
        self.begin_at(Instant::now(), sampler);
    }

    pub(super) fn begin_at(&self, now: Instant, sampler: &'static str) {
        let mut state = self.lock();
        state.busy = Some((now, sampler));
        state.thread = state.thread.or_else(this_thread);
    }

    /// It has ended what it began.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        let busy = state.busy.take();
        if std::mem::take(&mut state.is_told)
            && let Some((since, _)) = busy
        {
            tracing::warn!(after = ?since.elapsed(), "the processing of readings goes on again; series begin again");
        }
    }

    /// Whether it does not go on.
    pub(super) fn stall(&self) -> Option<Stall> {
        let state = self.lock();
        let (since, sampler) = state.busy.filter(|(since, _)| since.elapsed() > DEADLINE)?;
        Some(Stall {
            since,
            sampler,
            thread: doing(state.thread),
        })
    }

    /// The same, once for each time.
    pub(super) fn became_stalled(&self) -> Option<Stall> {
        let stall = self.stall()?;
        (!std::mem::replace(&mut self.lock().is_told, true)).then_some(stall)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `/proc` may be of another PID namespace than this process', with other ids.
fn this_thread() -> Option<(u32, u32)> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    let (process, thread) = link.to_str()?.split_once("/task/")?;
    Some((process.parse().ok()?, thread.parse().ok()?))
}

/// What a thread is doing.
fn doing(thread: Option<(u32, u32)>) -> String {
    let Some((process, thread)) = thread else {
        return "of an unknown thread".to_owned();
    };
    match Processes::new(&HostRoots::new("/")).thread_state(process, thread) {
        Ok((state, waits)) if waits.is_empty() || waits == "0" => format!("thread {thread} in state {state}"),
        Ok((state, waits)) => format!("thread {thread} in state {state} in {waits}"),
        Err(error) => format!("thread {thread}: {error}"),
    }
}
