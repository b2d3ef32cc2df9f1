//! Task that keeps the annotation up to date.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::Counter;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Failure, NodeClient};
use super::schedule::{Change, Schedule};
use super::settings::{KEY, Settings, SettingsError};
use super::view::View;
use crate::backoff::{Backoff, RetryPolicy};
use crate::prometheus::MetricsSource;
use accelscope_core::LogLimiter;
use accelscope_core::metric::Timestamp;
use accelscope_core::metric::catalogue::agent as catalogue;
use accelscope_core::metric::key::AGENT_OUTCOME;
use accelscope_core::telemetry::{self, label};

/// Time for the removal at shutdown; the agent ends within three seconds.
const REMOVAL: Duration = Duration::from_millis(2500);
/// Part of it in which a write in flight may end: otherwise the server could apply it after the removal.
const LAST_WRITE: Duration = Duration::from_millis(1000);
/// First wait between attempts of the removal.
const REMOVAL_RETRY: Duration = Duration::from_millis(100);

/// Writes the annotation of one node. No other part of the agent waits for it.
pub struct NodeAnnotation {
    client: NodeClient,
    source: Arc<dyn MetricsSource>,
    schedule: Schedule,
    policy: RetryPolicy,
    backoff: Backoff,
    writes: Counter<u64>,
    limiter: LogLimiter,
    failing: bool,
}

/// The agent shuts down.
struct Shutdown {
    deadline: Instant,
}

impl NodeAnnotation {
    /// Must be called in a Tokio runtime. Sends no request yet.
    pub fn new(settings: &Settings, source: Arc<dyn MetricsSource>) -> Result<Self, SettingsError> {
        let writes = telemetry::counter(&catalogue::ANNOTATION_WRITES);
        // A counter starts at a visible 0: otherwise the first refusal is no increase to an alert.
        for outcome in ["written", "removed", "refused", "failed", "deadline"] {
            writes.add(0, &[label(AGENT_OUTCOME, outcome)]);
        }
        Ok(Self {
            client: NodeClient::new(settings)?,
            source,
            schedule: Schedule::new(settings.interval, Instant::now()),
            policy: settings.retry,
            backoff: Backoff::new(settings.retry),
            writes,
            limiter: LogLimiter::default(),
            failing: false,
        })
    }

    /// Writes until `shutdown`, then removes the annotation within 2.5 s.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            let wait = match self.due() {
                None => self.schedule.wait(Instant::now()),
                Some(change) => match self.attempt(&change, shutdown.as_mut()).await {
                    Ok(result) => self.finish(change, result),
                    Err(Shutdown { deadline }) => return self.remove(deadline).await,
                },
            };
            tokio::select! {
                () = &mut shutdown => return self.remove(Instant::now() + REMOVAL).await,
                () = sleep(wait) => {}
            }
        }
    }

    /// Sends a change, unless the shutdown comes first.
    async fn attempt(
        &mut self,
        change: &Change,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Result<(), Failure>, Shutdown> {
        let (text, deadline) = (text(change), self.client.deadline);
        let mut request = pin!(self.client.patch(text.as_deref(), deadline));
        tokio::select! {
            result = &mut request => Ok(result),
            () = shutdown => {
                let now = Instant::now();
                // Its result does not matter: the removal follows.
                drop(timeout_at(now + LAST_WRITE, request).await);
                Err(Shutdown { deadline: now + REMOVAL })
            }
        }
    }

    fn due(&mut self) -> Option<Change> {
        let now = Timestamp::now();
        let view = View::of(&self.source.series(), now);
        let aged = view.map(|view| {
            let age = now.since(view.read);
            (view, age)
        });
        self.schedule.next(Instant::now(), aged)
    }

    /// Records the result of a change; returns the wait before the next one.
    fn finish(&mut self, change: Change, result: Result<(), Failure>) -> Duration {
        self.count(&change, &result);
        let Err(failure) = result else {
            self.schedule.done(change, Instant::now());
            self.backoff.reset();
            if std::mem::take(&mut self.failing) {
                tracing::info!(node = %self.client.node, "the node annotation {KEY} is written again");
            }
            return self.schedule.wait(Instant::now());
        };
        self.schedule.failed();
        self.failing = true;
        let (kind, remedy) = failure.explain();
        if let Some(suppressed) = self.limiter.admit(kind) {
            tracing::warn!(
                node = %self.client.node,
                error = &failure as &dyn std::error::Error,
                suppressed,
                "the node annotation {KEY} cannot be written: {remedy}",
            );
        }
        let wait = self.backoff.next(failure.retry_after());
        match failure {
            // The cluster's configuration has to change first.
            Failure::Refused { .. } => wait.max(self.policy.probe().mul_f64(rand::random_range(0.5..=1.0))),
            _ => wait,
        }
    }

    fn count(&self, change: &Change, result: &Result<(), Failure>) {
        let outcome = match (result, change) {
            (Ok(()), Change::Write(_)) => "written",
            (Ok(()), Change::Remove) => "removed",
            (Err(failure), _) => failure.outcome(),
        };
        self.writes.add(1, &[label(AGENT_OUTCOME, outcome)]);
    }

    /// Removes the annotation, with retries until `deadline`.
    async fn remove(mut self, deadline: Instant) {
        if !self.schedule.may_exist() {
            return;
        }
        let mut wait = REMOVAL_RETRY;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let within = left.min(self.client.deadline);
            let result = self.client.patch(None, within).await;
            self.count(&Change::Remove, &result);
            let Err(failure) = result else { return };
            if matches!(failure, Failure::Refused { .. }) || Instant::now() + wait >= deadline {
                let node = &self.client.node;
                tracing::warn!(
                    %node,
                    error = &failure as &dyn std::error::Error,
                    "stopped with the node annotation {KEY} in place; kubectl annotate node {node} {KEY}- removes it",
                );
                return;
            }
            sleep(wait).await;
            wait *= 2;
        }
    }
}

fn text(change: &Change) -> Option<String> {
    match change {
        Change::Write(view) => Some(view.to_string()),
        Change::Remove => None,
    }
}
