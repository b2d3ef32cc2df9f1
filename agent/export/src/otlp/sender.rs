//! Sender of one destination: oldest records first, one request in flight, retried until it is accepted or refused.

mod doubt;
mod told;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::classify::{Answer, Verdict};
use super::delivery::{Delivery, DestinationState};
use super::destination::Destination;
use super::error::BuildError;
use super::part::metric_name;
use super::queue::Request;
use super::record::Record;
use super::sizing::{Fault, Identity, Refusal, Sizing};
use super::state_log::{Failure, StateLog};
use super::transport::{Client, ClientOptions};
use crate::backoff::{Backoff, MAX_RETRY_AFTER, RetryPolicy};
use accelscope_core::LogLimiter;
use accelscope_core::budget::{Budget, Purpose};
use accelscope_core::chain;
use doubt::{Doubt, Finding};

/// Wait between attempts while flushing, instead of backoff.
const FLUSH_PAUSE: Duration = Duration::from_millis(100);

/// Sender of one destination.
pub(super) struct Sender {
    destination: Destination,
    /// The destination's newest settings, where they were changed.
    revised: Mutex<Option<Destination>>,
    /// Notified when they were, or when its files are to be read again.
    revision: Notify,
    /// Notified when they were, so that the request in flight goes to another place, or in another way.
    replaced: Notify,
    policy: RetryPolicy,
    delivery: Mutex<Delivery>,
    /// Notified when records are queued.
    arrived: Notify,
    /// Deadline of the running flush.
    flush: watch::Sender<Option<Instant>>,
    limiter: LogLimiter,
}

/// State of the task between requests.
struct RequestState {
    client: Option<Client>,
    backoff: Backoff,
    sizing: Sizing,
    doubt: Doubt,
    log: StateLog,
    /// Points that were dropped until the destination failed last.
    dropped_before: u64,
}

impl RequestState {
    /// With other settings, or files that are to be read again.
    fn begin_anew(&mut self) {
        self.client = None;
        self.backoff.reset();
        self.sizing = Sizing::new();
    }
}

impl Sender {
    pub(super) fn new(destination: Destination, policy: RetryPolicy) -> Self {
        Self {
            delivery: Mutex::new(Delivery::new(&destination)),
            destination,
            revised: Mutex::default(),
            revision: Notify::new(),
            replaced: Notify::new(),
            policy,
            arrived: Notify::new(),
            flush: watch::Sender::new(None),
            limiter: LogLimiter::default(),
        }
    }

    fn delivery(&self) -> MutexGuard<'_, Delivery> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects anew with these settings, at once.
    pub(super) fn revise(&self, destination: Destination) {
        self.delivery().state.endpoint = destination.shown_endpoint();
        let is_other = self.current() != destination;
        *self.revised.lock().unwrap_or_else(PoisonError::into_inner) = Some(destination);
        self.revision.notify_one();
        if is_other {
            self.replaced.notify_waiters();
        }
    }

    /// The settings of the next connection.
    fn current(&self) -> Destination {
        let revised = self.revised.lock().unwrap_or_else(PoisonError::into_inner);
        revised.as_ref().unwrap_or(&self.destination).clone()
    }

    pub(super) fn draw_on(&self, budget: &Budget) {
        self.delivery().draw_on(budget.account(Purpose::Queue));
    }

    pub(super) fn push(&self, records: &[Record]) {
        let (dropped, greedy) = {
            let mut delivery = self.delivery();
            (delivery.push(records), delivery.queue.greedy().cloned())
        };
        self.arrived.notify_one();
        if dropped > 0
            && let Some(suppressed) = self.limiter.admit("queue_full")
        {
            tracing::warn!(
                destination = self.destination.name,
                points = dropped,
                workload = greedy.as_deref(),
                suppressed,
                "the queue is full and its oldest points are dropped, first those of the workload that has most; restore the destination or raise queue_bytes, and limits.memory \
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
            sizing: Sizing::new(),
            doubt: Doubt::default(),
            log: StateLog::new(Instant::now()),
            dropped_before: 0,
        };
        loop {
            let (request, identity) = self.take(&state.sizing);
            if request.bodies.is_empty() {
                self.end_flush();
                let is_revised = self.wait(&mut state, self.arrived.notified()).await;
                if is_revised {
                    state.client = None;
                }
                continue;
            }
            let started = Instant::now();
            let Some(answer) = self.ask(&mut state, request.bodies.clone()).await else {
                // Whether the points arrived is unknown.
                self.delivery().release();
                state.begin_anew();
                continue;
            };
            let (mut wait, finding) = self.conclude(&mut state, &request, identity, answer, started.elapsed());
            if finding == Finding::Probe && self.probe(&mut state).await {
                wait = Some(self.flush_wait(None).unwrap_or(self.policy.initial()));
            }
            self.log_state(&mut state);
            let pause = async {
                if let Some(wait) = wait {
                    self.sleep(&mut flush, wait).await;
                }
            };
            if self.wait(&mut state, pause).await {
                state.begin_anew();
            }
        }
    }

    fn take(&self, sizing: &Sizing) -> (Request, Identity) {
        let mut delivery = self.delivery();
        // One record suffices to find out whether the destination still refuses everything.
        let records = if delivery.state.blocked.is_some() {
            1
        } else {
            usize::MAX
        };
        let request = delivery.queue.take(sizing.limits(records));
        let identity = (delivery.queue.front(), request.points);
        (request, identity)
    }

    /// The answer to a request; `None` if the settings became others meanwhile.
    async fn ask(&self, state: &mut RequestState, bodies: Vec<Bytes>) -> Option<Answer> {
        let answer = tokio::select! {
            biased;
            () = self.replaced.notified() => None,
            answer = self.attempt(state, bodies) => Some(answer),
        };
        if answer.as_ref().is_some_and(|answer| answer.reconnect) {
            state.client = None;
        }
        answer
    }

    /// Sends a point again that passed before; returns whether it passed.
    async fn probe(&self, state: &mut RequestState) -> bool {
        let Some(known) = state.doubt.known() else {
            return false;
        };
        let started = Instant::now();
        let answer = self.ask(state, vec![known]).await;
        let has_passed = matches!(&answer, Some(answer) if matches!(answer.verdict, Verdict::Accepted { .. }));
        state.doubt.probed(has_passed);
        let mut delivery = self.delivery();
        let outcome = if has_passed { "accepted" } else { "retry" };
        delivery.metrics.request(outcome, started.elapsed());
        if has_passed {
            delivery.block(None);
        } else {
            // The next client reads headers and certificates again.
            state.client = None;
        }
        has_passed
    }

    async fn attempt(&self, state: &mut RequestState, bodies: Vec<Bytes>) -> Answer {
        let client = match &mut state.client {
            Some(client) => client,
            none => match self.connect().await {
                Ok(client) => none.insert(client),
                Err(error) => {
                    let remedy = "correct the file or setting that the message names";
                    return Answer::new(Verdict::Hold, chain(&error)).because("configuration", remedy);
                }
            },
        };
        client.send(bodies).await
    }

    async fn connect(&self) -> Result<Client, BuildError> {
        let destination = self.current();
        let for_client = destination.clone();
        // Blocking: certificates are in many files, secrets possibly on a network file system.
        let loaded = tokio::task::spawn_blocking(move || ClientOptions::load(&destination)).await;
        let options = loaded.unwrap_or_else(|_| ClientOptions::load(&for_client))?;
        Client::new(&for_client, options)
    }

    /// Applies the answer to the queue; returns the wait before the next attempt, and what a failure says of the points.
    fn conclude(
        &self,
        state: &mut RequestState,
        request: &Request,
        identity: Identity,
        answer: Answer,
        took: Duration,
    ) -> (Option<Duration>, Finding) {
        let Answer {
            verdict,
            cause,
            message,
            is_slow,
            ..
        } = answer;
        let bytes = request.bytes();
        let mut delivery = self.delivery();
        let is_accepted = matches!(verdict, Verdict::Accepted { .. });
        delivery.state.is_failing = !is_accepted;
        if !is_accepted {
            delivery.state.last_error = Some(message.clone());
            delivery.state.last_remedy = Some(cause.remedy).filter(|remedy| !remedy.is_empty());
        }
        if verdict != Verdict::Hold {
            delivery.block(None);
        }
        if is_slow {
            state.sizing.too_slow(bytes);
        }
        let failure = || Failure {
            reason: cause.reason,
            message: message.clone(),
            remedy: cause.remedy,
        };
        let finding = state.doubt.concluded(verdict, is_slow, identity);
        let wait = match verdict {
            Verdict::Retry { .. } | Verdict::Hold if finding == Finding::Point => {
                delivery.metrics.request("rejected", took);
                Self::observe(state, Some(failure()), &delivery);
                state.backoff.reset();
                self.give_up(delivery, request, &message)
            }
            Verdict::Accepted { rejected } => {
                let outcome = if rejected > 0 { "partial" } else { "accepted" };
                delivery.metrics.request(outcome, took);
                delivery.sent(request, rejected);
                if rejected > 0 || !message.is_empty() {
                    delivery.state.last_warning = Some(message.clone());
                }
                state.backoff.reset();
                state.doubt.accepted(request, identity);
                state
                    .sizing
                    .accepted(request.points, bytes, took, self.current().timeout);
                Self::observe(state, None, &delivery);
                self.log_accepted(rejected.min(request.points), &message);
                None
            }
            Verdict::Retry { retry_after } => {
                delivery.metrics.request("retry", took);
                delivery.release();
                Self::observe(state, Some(failure()), &delivery);
                let wait = self.retry_wait(state, retry_after, is_slow);
                Some(self.flush_wait(retry_after).unwrap_or(wait))
            }
            Verdict::Hold => {
                delivery.metrics.request("refused", took);
                delivery.block(Some(cause.reason));
                if finding == Finding::Probe {
                    state.sizing.suspected(request.points);
                }
                delivery.release();
                // The next client reads headers and certificates again.
                state.client = None;
                Self::observe(state, Some(failure()), &delivery);
                self.end_flush();
                Some(self.policy.probe())
            }
            Verdict::TooLarge => {
                delivery.metrics.request("rejected", took);
                let refusal = state.sizing.too_large(identity, bytes);
                if refusal == Refusal::Divide {
                    self.log_size(bytes, &message, cause.remedy);
                } else {
                    Self::observe(state, Some(failure()), &delivery);
                }
                self.refuse(state, delivery, request, refusal, Duration::ZERO, &failure())
            }
            Verdict::Refused(fault) => {
                delivery.metrics.request("rejected", took);
                Self::observe(state, Some(failure()), &delivery);
                let refusal = state.sizing.refused(identity, fault);
                // A receiver that fails is not asked more often than one that is away.
                let pause = match fault {
                    Fault::Data => Duration::ZERO,
                    Fault::Receiver => self.policy.initial(),
                };
                self.refuse(state, delivery, request, refusal, pause, &failure())
            }
            Verdict::Lost => {
                delivery.metrics.request("rejected", took);
                delivery.refused(request, cause.reason);
                self.log_dropped(cause.reason, request.points, &message);
                None
            }
        };
        (wait, finding)
    }

    /// Wait before the next attempt: short where the receiver takes other points, and the one is searched that it does not.
    fn retry_wait(&self, state: &mut RequestState, retry_after: Option<Duration>, is_slow: bool) -> Duration {
        if is_slow && retry_after.is_none() && state.doubt.is_alive {
            self.policy.initial()
        } else {
            state.backoff.next(retry_after)
        }
    }

    /// Drops a point that never gets there; the next request follows at once.
    fn give_up(&self, mut delivery: MutexGuard<'_, Delivery>, request: &Request, message: &str) -> Option<Duration> {
        delivery.block(None);
        delivery.refused(request, "undeliverable");
        let metric = request.bodies.first().and_then(|body| metric_name(body));
        self.log_undeliverable(metric.unwrap_or_default(), message);
        None
    }

    /// Drops a refused request if it was refused twice; `pause` is the wait before smaller ones follow, and the shortest one
    /// before the same is sent again.
    fn refuse(
        &self,
        state: &mut RequestState,
        mut delivery: MutexGuard<'_, Delivery>,
        request: &Request,
        refusal: Refusal,
        pause: Duration,
        failure: &Failure,
    ) -> Option<Duration> {
        match refusal {
            Refusal::Divide => {
                delivery.release();
                (!pause.is_zero()).then(|| self.flush_wait(None).unwrap_or(pause))
            }
            Refusal::Confirm => {
                delivery.release();
                let wait = state.backoff.next(None).max(pause);
                Some(self.flush_wait(None).unwrap_or(wait))
            }
            Refusal::Final => {
                delivery.refused(request, failure.reason);
                self.log_dropped(failure.reason, request.points, &failure.message);
                None
            }
        }
    }

    /// Wait before the next attempt while flushing: a short one, or the server's `retry_after`. The flush ends when the wait
    /// does not end before the deadline.
    fn flush_wait(&self, retry_after: Option<Duration>) -> Option<Duration> {
        let deadline = (*self.flush.borrow())?;
        let wait = retry_after.unwrap_or_default().clamp(FLUSH_PAUSE, MAX_RETRY_AFTER);
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

    /// Waits for `event`, or until the settings are changed; returns whether they were. Meanwhile logs what is due.
    async fn wait(&self, state: &mut RequestState, event: impl Future<Output = ()>) -> bool {
        let mut event = std::pin::pin!(event);
        loop {
            let due = state.log.due();
            let due = async move {
                match due {
                    Some(due) => sleep_until(due).await,
                    // Nothing wakes for a line that is not there.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.revision.notified() => return true,
                () = &mut event => return false,
                () = due => self.log_state(state),
            }
        }
    }
}
