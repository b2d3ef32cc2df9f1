//! Sender of one destination: oldest records first, one request in flight, retried until it is accepted or refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::classify::{self, Answer, Verdict};
use super::delivery::{Delivery, DestinationState};
use super::destination::Destination;
use super::error::BuildError;
use super::record::Record;
use super::transport::{Client, ClientOptions};
use crate::backoff::{Backoff, RetryPolicy};
use accelscope_core::LogLimiter;
use accelscope_core::budget::{Budget, Purpose};
use accelscope_core::chain;

/// Largest request in bytes, before compression: below the 4 MiB that a gRPC server accepts by default.
pub const MAX_REQUEST_BYTES: u64 = 3_670_016;

/// Wait between attempts while flushing, instead of backoff.
const FLUSH_PAUSE: Duration = Duration::from_millis(100);

/// Sender of one destination.
pub(super) struct Sender {
    destination: Destination,
    policy: RetryPolicy,
    delivery: Mutex<Delivery>,
    /// Notified when records are queued.
    arrived: Notify,
    /// Deadline of the running flush.
    flush: watch::Sender<Option<Instant>>,
    limiter: LogLimiter,
    /// Whether a failure was logged and the recovery from it was not.
    failure_logged: AtomicBool,
}

/// State of the task between requests.
struct RequestState {
    client: Option<Client>,
    backoff: Backoff,
    /// Sizes, in records, of the parts that a refused request was split into; the last is sent next.
    pieces: Vec<usize>,
}

impl Sender {
    pub(super) fn new(destination: Destination, policy: RetryPolicy) -> Self {
        Self {
            delivery: Mutex::new(Delivery::new(&destination)),
            destination,
            policy,
            arrived: Notify::new(),
            flush: watch::Sender::new(None),
            limiter: LogLimiter::default(),
            failure_logged: AtomicBool::new(false),
        }
    }

    fn delivery(&self) -> MutexGuard<'_, Delivery> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draw_on(&self, budget: &Budget) {
        self.delivery().draw_on(budget.account(Purpose::Queue));
    }

    pub(super) fn push(&self, records: &[Record]) {
        let dropped = self.delivery().push(records);
        self.arrived.notify_one();
        if dropped > 0
            && let Some(suppressed) = self.limiter.admit("queue_full")
        {
            tracing::warn!(
                destination = self.destination.name,
                points = dropped,
                suppressed,
                "the queue is full and its oldest points are dropped; restore the destination or raise queue_bytes, and limits.memory \
                 where agent.export.queue.limit is below queue_bytes"
            );
        }
    }

    pub(super) fn state(&self) -> DestinationState {
        self.delivery().state.clone()
    }

    /// Sends until dropped.
    pub(super) async fn run(&self) {
        self.delivery().release();
        let mut flush = self.flush.subscribe();
        let mut state = RequestState {
            client: None,
            backoff: Backoff::new(self.policy),
            pieces: Vec::new(),
        };
        loop {
            let batch = self.take(&mut state);
            if batch.is_empty() {
                self.end_flush();
                self.arrived.notified().await;
                continue;
            }
            let started = Instant::now();
            let answer = self.attempt(&mut state, &batch).await;
            if answer.reconnect {
                state.client = None;
            }
            let wait = self.conclude(&mut state, &batch, answer, started.elapsed());
            if let Some(wait) = wait {
                self.sleep(&mut flush, wait).await;
            }
        }
    }

    fn take(&self, state: &mut RequestState) -> Vec<Record> {
        let mut delivery = self.delivery();
        if delivery.state.waiting.records == 0 {
            state.pieces.clear();
        }
        // One record suffices to find out whether the destination still refuses everything.
        let max_records = if delivery.state.blocked.is_some() {
            1
        } else {
            state.pieces.pop().unwrap_or(usize::MAX)
        };
        delivery.queue.take(MAX_REQUEST_BYTES, max_records)
    }

    async fn attempt(&self, state: &mut RequestState, batch: &[Record]) -> Answer {
        let client = match &mut state.client {
            Some(client) => client,
            none => match self.connect().await {
                Ok(client) => none.insert(client),
                Err(error) => {
                    let remedy = "correct the file or setting that the message names";
                    return Answer::new(Verdict::hold("configuration", remedy), chain(&error));
                }
            },
        };
        client
            .send(batch.iter().map(|record| record.bytes.clone()).collect())
            .await
    }

    async fn connect(&self) -> Result<Client, BuildError> {
        let destination = self.destination.clone();
        // Blocking: certificates are in many files, secrets possibly on a network file system.
        let loaded = tokio::task::spawn_blocking(move || ClientOptions::load(&destination)).await;
        let options = loaded.unwrap_or_else(|_| ClientOptions::load(&self.destination))?;
        Client::new(&self.destination, options)
    }

    /// Applies the answer to the queue; returns the wait before the next attempt.
    fn conclude(&self, state: &mut RequestState, batch: &[Record], answer: Answer, took: Duration) -> Option<Duration> {
        let Answer { verdict, message, .. } = answer;
        let mut delivery = self.delivery();
        if !matches!(verdict, Verdict::Accepted { .. }) {
            delivery.state.last_error = Some(message.clone());
        }
        if !matches!(verdict, Verdict::Hold { .. }) {
            delivery.block(None);
        }
        match verdict {
            Verdict::Accepted { rejected } => {
                delivery
                    .metrics
                    .request(if rejected > 0 { "partial" } else { "accepted" }, took);
                delivery.sent(batch, rejected);
                state.backoff.reset();
                self.log_accepted(rejected, &message);
                None
            }
            Verdict::Retry { retry_after } => {
                delivery.metrics.request("retry", took);
                delivery.release();
                state.pieces.push(batch.len());
                let remedy = classify::remedy_of_retry(&message);
                self.log_failed("retry", delivery.state.waiting.points, &message, remedy);
                let wait = state.backoff.next(retry_after);
                Some(self.flush_wait(retry_after).unwrap_or(wait))
            }
            Verdict::Hold { reason, remedy } => {
                delivery.metrics.request("refused", took);
                delivery.block(Some(reason));
                delivery.release();
                // The next client reads headers and certificates again.
                state.client = None;
                self.log_failed(reason, delivery.state.waiting.points, &message, remedy);
                self.end_flush();
                Some(self.policy.probe())
            }
            Verdict::Drop { reason, split } => {
                delivery.metrics.request("rejected", took);
                if split && batch.len() > 1 {
                    delivery.release();
                    let half = batch.len() / 2;
                    state.pieces.extend([batch.len() - half, half]);
                } else {
                    let points = delivery.refused(batch, reason);
                    self.log_dropped(reason, points, &message);
                }
                None
            }
        }
    }

    /// Wait before the next attempt while flushing: a short one, or the server's `retry_after`. The flush ends when the wait
    /// does not end before the deadline.
    fn flush_wait(&self, retry_after: Option<Duration>) -> Option<Duration> {
        let deadline = (*self.flush.borrow())?;
        let wait = retry_after.unwrap_or_default().max(FLUSH_PAUSE);
        if Instant::now() + wait >= deadline {
            self.end_flush();
        }
        Some(wait)
    }

    /// The queue is empty, or nothing more can be delivered.
    fn end_flush(&self) {
        self.flush.send_if_modified(|deadline| deadline.take().is_some());
    }

    /// Sleeps until a flush begins; returns at once if one began during the request.
    async fn sleep(&self, flush: &mut watch::Receiver<Option<Instant>>, wait: Duration) {
        let begun = async {
            // The channel stays open: its sender is a field of `self`.
            while flush.changed().await.is_ok() && flush.borrow_and_update().is_none() {}
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = begun => {}
        }
    }

    /// Has everything sent without backoff. Returns when the queue is empty, when no further record can be delivered, or
    /// at `deadline`.
    pub(super) async fn flush(&self, deadline: Instant) {
        self.flush.send_replace(Some(deadline));
        if self.delivery().state.waiting.records > 0 {
            let mut flush = self.flush.subscribe();
            // At the deadline the caller reads the rest from the state.
            timeout_at(deadline, flush.wait_for(Option::is_none)).await.ok();
        }
        self.end_flush();
    }

    fn log_accepted(&self, rejected: u64, message: &str) {
        let destination = &self.destination.name;
        if self.failure_logged.swap(false, Ordering::Relaxed) {
            tracing::info!(destination, "destination accepts points again");
        }
        if rejected > 0 {
            self.log_dropped("partial_success", rejected, message);
        } else if !message.is_empty()
            && let Some(suppressed) = self.limiter.admit("warning")
        {
            tracing::warn!(
                destination,
                suppressed,
                "destination accepted the points with a warning: {message}"
            );
        }
    }

    fn log_failed(&self, reason: &'static str, waiting: u64, message: &str, remedy: &str) {
        if let Some(suppressed) = self.limiter.admit(reason) {
            self.failure_logged.store(true, Ordering::Relaxed);
            let Destination { name, endpoint, .. } = &self.destination;
            tracing::warn!(
                destination = name,
                %endpoint,
                reason,
                suppressed,
                points = waiting,
                "points wait in the queue, destination failed: {message}; {remedy}"
            );
        }
    }

    fn log_dropped(&self, reason: &'static str, points: u64, message: &str) {
        if let Some(suppressed) = self.limiter.admit(reason) {
            tracing::warn!(
                destination = self.destination.name,
                reason,
                points,
                suppressed,
                "destination refused points for good, they are dropped: {message}"
            );
        }
    }
}
