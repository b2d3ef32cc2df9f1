//! One destination's sender: oldest first, one request in flight, until it arrives or can never arrive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::backoff::{Backoff, Pace};
use super::classify::{self, Answer, Verdict, chain};
use super::destination::Destination;
use super::error::BuildError;
use super::ledger::{DestinationState, Ledger};
use super::queue::MemoryQueue;
use super::quiet::Quiet;
use super::record::Record;
use super::transport::{Client, Material};

/// Records are joined up to this many bytes, before compression: below the 4 MiB that a gRPC server takes by default.
pub const MAX_REQUEST_BYTES: u64 = 3_670_016;

/// Between attempts while flushing, when back-off waits are skipped.
const FLUSH_PAUSE: Duration = Duration::from_millis(100);

/// Everything of one destination.
pub(super) struct Sender {
    destination: Destination,
    pace: Pace,
    ledger: Mutex<Ledger>,
    /// Something was queued.
    arrived: Notify,
    /// The queue may have become empty, or a flush hopeless.
    progress: Notify,
    /// Until when a flush runs, while it does.
    flush: watch::Sender<Option<Instant>>,
    hopeless: watch::Sender<bool>,
    quiet: Quiet,
    /// A failure was logged and its end was not.
    told: AtomicBool,
}

/// What the task itself keeps between requests.
struct Course {
    client: Option<Client>,
    backoff: Backoff,
    /// Sizes, in records, of the pieces that a refused request is being sent in; the last is next.
    pieces: Vec<usize>,
}

impl Sender {
    pub(super) fn new(destination: Destination, pace: Pace) -> Self {
        let queue = Box::new(MemoryQueue::new(destination.queue_bytes));
        Self {
            ledger: Mutex::new(Ledger::new(queue, &destination.name)),
            destination,
            pace,
            arrived: Notify::new(),
            progress: Notify::new(),
            flush: watch::Sender::new(None),
            hopeless: watch::Sender::new(false),
            quiet: Quiet::default(),
            told: AtomicBool::new(false),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, records: &[Record]) {
        let dropped = self.ledger().push(records);
        self.arrived.notify_one();
        if dropped > 0
            && let Some(unsaid) = self.quiet.may_say("queue_full")
        {
            tracing::warn!(
                destination = self.destination.name,
                points = dropped,
                unsaid,
                "the queue is full and its oldest points are dropped; mend the destination or raise queue_bytes"
            );
        }
    }

    pub(super) fn state(&self) -> DestinationState {
        self.ledger().state(&self.destination.name, &self.destination.endpoint)
    }

    /// Sends for ever.
    pub(super) async fn run(&self) {
        self.ledger().release();
        let mut flush = self.flush.subscribe();
        let mut course = Course {
            client: None,
            backoff: Backoff::new(self.pace),
            pieces: Vec::new(),
        };
        loop {
            let batch = self.take(&mut course);
            if batch.is_empty() {
                self.progress.notify_waiters();
                self.arrived.notified().await;
                continue;
            }
            let started = Instant::now();
            let answer = self.attempt(&mut course, &batch).await;
            if answer.reconnect {
                course.client = None;
            }
            let wait = self.conclude(&mut course, &batch, answer, started.elapsed());
            if let Some(wait) = wait {
                self.pause(&mut flush, wait).await;
            }
        }
    }

    fn take(&self, course: &mut Course) -> Vec<Record> {
        let mut ledger = self.ledger();
        if ledger.usage().records == 0 {
            course.pieces.clear();
        }
        // One record is enough to learn whether a refusal has been mended.
        let most = if ledger.is_blocked() {
            1
        } else {
            course.pieces.pop().unwrap_or(usize::MAX)
        };
        ledger.take(MAX_REQUEST_BYTES, most)
    }

    async fn attempt(&self, course: &mut Course, batch: &[Record]) -> Answer {
        let mut client = match course.client.take() {
            Some(client) => client,
            None => match self.connect().await {
                Ok(client) => client,
                Err(error) => {
                    let remedy = "mend the file or setting that the message names";
                    return Answer::new(
                        Verdict::Hold {
                            reason: "configuration",
                            remedy,
                        },
                        chain(&error),
                    );
                }
            },
        };
        let bytes: Vec<Bytes> = batch.iter().map(|record| record.bytes.clone()).collect();
        let answer = client.send(&self.destination, bytes).await;
        course.client = Some(client);
        answer
    }

    async fn connect(&self) -> Result<Client, BuildError> {
        let destination = self.destination.clone();
        // Reading may block: certificates lie in many files, secrets perhaps on a network.
        let read = tokio::task::spawn_blocking(move || Material::load(&destination)).await;
        let material = read.unwrap_or_else(|_| Material::load(&self.destination))?;
        Client::new(&self.destination, material)
    }

    /// Books the answer; returns how long to wait before the next attempt.
    fn conclude(&self, course: &mut Course, batch: &[Record], answer: Answer, took: Duration) -> Option<Duration> {
        let Answer { verdict, said, .. } = answer;
        let mut ledger = self.ledger();
        if !matches!(verdict, Verdict::Accepted { .. }) {
            ledger.last_error = Some((accelscope_core::metric::Timestamp::now(), said.clone()));
        }
        if !matches!(verdict, Verdict::Hold { .. }) {
            ledger.block(None);
        }
        match verdict {
            Verdict::Accepted { rejected } => {
                ledger
                    .meters()
                    .request(if rejected > 0 { "partial" } else { "accepted" }, took);
                ledger.sent(rejected);
                drop(ledger);
                course.backoff.reset();
                self.log_accepted(rejected, &said);
                None
            }
            Verdict::Retry { asked } => {
                ledger.meters().request("retry", took);
                ledger.release();
                drop(ledger);
                course.pieces.push(batch.len());
                self.log_failed("retry", &said, classify::remedy_of_retry(&said));
                let wait = course.backoff.next(asked);
                Some(self.in_a_hurry(asked).unwrap_or(wait))
            }
            Verdict::Hold { reason, remedy } => {
                ledger.meters().request("refused", took);
                ledger.block(Some(reason));
                ledger.release();
                drop(ledger);
                // With the next client come the headers and certificates of then.
                course.client = None;
                self.log_failed(reason, &said, remedy);
                self.give_up();
                Some(self.pace.probe())
            }
            Verdict::Drop { reason, split } => {
                ledger.meters().request("rejected", took);
                if split && batch.len() > 1 {
                    ledger.release();
                    let half = batch.len() / 2;
                    course.pieces.extend([batch.len() - half, half]);
                } else {
                    ledger.refused(reason);
                    drop(ledger);
                    let points: u64 = batch.iter().map(|record| record.points).sum();
                    self.log_dropped(reason, points, &said);
                }
                None
            }
        }
    }

    /// While flushing: a short wait, or what the server asked for if that still leaves time.
    fn in_a_hurry(&self, asked: Option<Duration>) -> Option<Duration> {
        let deadline = (*self.flush.borrow())?;
        let wait = asked.unwrap_or_default().max(FLUSH_PAUSE);
        if Instant::now() + wait >= deadline {
            self.give_up();
        }
        Some(wait)
    }

    fn give_up(&self) {
        if self.flush.borrow().is_some() {
            self.hopeless.send_replace(true);
            self.progress.notify_waiters();
        }
    }

    /// Sleeps, or until a flush begins; returns at once if one began during the request.
    async fn pause(&self, flush: &mut watch::Receiver<Option<Instant>>, wait: Duration) {
        let begun = async {
            // The sender of these changes is a field of ours, so it does not go away meanwhile.
            while flush.changed().await.is_ok() && flush.borrow_and_update().is_none() {}
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = begun => {}
        }
    }

    /// Has everything sent without back-off waits. Returns when nothing waits any more, when it became clear that
    /// nothing more will go through, or at `deadline`.
    pub(super) async fn flush(&self, deadline: Instant) {
        self.hopeless.send_replace(false);
        self.flush.send_replace(Some(deadline));
        let done = async {
            loop {
                let progress = self.progress.notified();
                tokio::pin!(progress);
                progress.as_mut().enable();
                if self.ledger().usage().records == 0 || *self.hopeless.borrow() {
                    return;
                }
                progress.await;
            }
        };
        // At the deadline the caller reads from the state what is left.
        tokio::time::timeout_at(deadline, done).await.unwrap_or_default();
        self.flush.send_replace(None);
    }

    fn log_accepted(&self, rejected: u64, said: &str) {
        let destination = &self.destination.name;
        if self.told.swap(false, Ordering::Relaxed) {
            tracing::info!(destination, "destination accepts points again");
        }
        if rejected > 0 {
            self.log_dropped("partial_success", rejected, said);
        } else if !said.is_empty()
            && let Some(unsaid) = self.quiet.may_say("warning")
        {
            tracing::warn!(
                destination,
                unsaid,
                "destination accepted the points with a warning: {said}"
            );
        }
    }

    fn log_failed(&self, cause: &'static str, said: &str, remedy: &str) {
        if let Some(unsaid) = self.quiet.may_say(cause) {
            self.told.store(true, Ordering::Relaxed);
            let Destination { name, endpoint, .. } = &self.destination;
            let waiting = self.ledger().usage();
            tracing::warn!(
                destination = name,
                %endpoint,
                reason = cause,
                unsaid,
                points = waiting.points,
                "points wait in the queue, destination failed: {said}; {remedy}"
            );
        }
    }

    fn log_dropped(&self, reason: &'static str, points: u64, said: &str) {
        if let Some(unsaid) = self.quiet.may_say(reason) {
            tracing::warn!(
                destination = self.destination.name,
                reason,
                points,
                unsaid,
                "destination refused points for good, they are dropped: {said}"
            );
        }
    }
}
