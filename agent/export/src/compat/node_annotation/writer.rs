//! Keeps the annotation up to date.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::Counter;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Failure, NodeClient};
use super::plan::{Change, Plan};
use super::settings::{KEY, Settings, SettingsError};
use super::view::View;
use crate::otlp::{Backoff, Pace, Quiet};
use crate::prometheus::MetricsSource;
use accelscope_core::metric::Timestamp;
use accelscope_core::metric::catalogue::agent as catalogue;
use accelscope_core::metric::key::AGENT_OUTCOME;
use accelscope_core::telemetry::{self, label};

/// What a stop leaves for the removal; the agent is gone within three seconds.
const LEAVE: Duration = Duration::from_millis(2500);
/// What of it a write may still take that is under way: the server could otherwise carry it out after the removal.
const LAST_WRITE: Duration = Duration::from_millis(1000);
/// First wait between attempts of the removal.
const LEAVE_AGAIN: Duration = Duration::from_millis(100);

/// Writes the annotation of one node, from one task that nothing waits for.
pub struct NodeAnnotation {
    client: NodeClient,
    source: Arc<dyn MetricsSource>,
    plan: Plan,
    pace: Pace,
    backoff: Backoff,
    writes: Counter<u64>,
    quiet: Quiet,
    failing: bool,
}

/// The agent ends, and has until then.
struct Shutdown {
    end: Instant,
}

impl NodeAnnotation {
    /// To be called within a Tokio runtime. Nothing is asked of the API server yet.
    pub fn new(settings: &Settings, source: Arc<dyn MetricsSource>) -> Result<Self, SettingsError> {
        let writes = telemetry::counter(&catalogue::ANNOTATION_WRITES);
        // A counter that has not counted yet must be visible as 0, or the first refusal is no increase for an alert.
        for outcome in ["written", "removed", "refused", "failed", "deadline"] {
            writes.add(0, &[label(AGENT_OUTCOME, outcome)]);
        }
        Ok(Self {
            client: NodeClient::new(settings)?,
            source,
            plan: Plan::new(settings.interval, Instant::now()),
            pace: settings.pace,
            backoff: Backoff::new(settings.pace),
            writes,
            quiet: Quiet::default(),
            failing: false,
        })
    }

    /// Writes until `shutdown`, then removes the annotation; it returns within 2.5 s of that.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        loop {
            let wait = match self.due() {
                None => self.plan.wait(Instant::now()),
                Some(change) => match self.attempt(&change, shutdown.as_mut()).await {
                    Ok(result) => self.take(change, result),
                    Err(Shutdown { end }) => return self.leave(end).await,
                },
            };
            tokio::select! {
                () = &mut shutdown => return self.leave(Instant::now() + LEAVE).await,
                () = sleep(wait) => {}
            }
        }
    }

    /// What the API server makes of a change, unless the shutdown comes first.
    async fn attempt(
        &self,
        change: &Change,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Result<(), Failure>, Shutdown> {
        let text = text(change);
        let mut request = pin!(self.client.patch(text.as_deref(), self.client.deadline()));
        tokio::select! {
            result = &mut request => Ok(result),
            () = shutdown => {
                let now = Instant::now();
                // Whatever comes of it, the removal follows.
                drop(timeout_at(now + LAST_WRITE, request).await);
                Err(Shutdown { end: now + LEAVE })
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
        self.plan.next(Instant::now(), aged)
    }

    /// Takes notice of what became of a change, and says how long to wait.
    fn take(&mut self, change: Change, result: Result<(), Failure>) -> Duration {
        self.count(&change, &result);
        let Err(failure) = result else {
            self.plan.done(change, Instant::now());
            self.backoff.reset();
            if std::mem::take(&mut self.failing) {
                tracing::info!(node = %self.client.node(), "the node annotation {KEY} is written again");
            }
            return self.plan.wait(Instant::now());
        };
        self.plan.failed();
        self.failing = true;
        if let Some(unsaid) = self.quiet.may_say(failure.kind()) {
            tracing::warn!(
                node = %self.client.node(),
                error = &failure as &dyn std::error::Error,
                unsaid,
                "the node annotation {KEY} cannot be written: {}",
                failure.remedy()
            );
        }
        let wait = self.backoff.next(failure.asked());
        match failure {
            // A person has to do something first.
            Failure::Refused { .. } => wait.max(self.pace.probe().mul_f64(rand::random_range(0.5..=1.0))),
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

    async fn leave(self, end: Instant) {
        if !self.plan.carries() {
            return;
        }
        let mut wait = LEAVE_AGAIN;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let result = self.client.patch(None, left.min(self.client.deadline())).await;
            self.count(&Change::Remove, &result);
            let Err(failure) = result else { return };
            if matches!(failure, Failure::Refused { .. }) || Instant::now() + wait >= end {
                let node = self.client.node();
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
