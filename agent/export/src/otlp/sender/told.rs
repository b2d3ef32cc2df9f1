//! What the sender logs.

use std::time::Duration;

use tokio::time::Instant;

use super::super::delivery::Delivery;
use super::super::state_log::{Failure, Line};
use super::{RequestState, Sender};

impl Sender {
    pub(super) fn observe(state: &mut RequestState, failure: Option<Failure>, delivery: &Delivery) {
        if state.log.is_working() && failure.is_some() {
            state.dropped_before = delivery.state.totals.dropped;
        }
        state.log.observe(failure, Instant::now());
    }

    pub(super) fn log_state(&self, state: &mut RequestState) {
        let Some(Line {
            failure,
            changes,
            lasted,
        }) = state.log.line(Instant::now())
        else {
            return;
        };
        let (waiting, dropped) = {
            let state = &self.delivery().state;
            (state.waiting.points, state.totals.dropped)
        };
        let name = &self.destination.name;
        let endpoint = self.current().shown_endpoint();
        let lasted = humantime::format_duration(Duration::from_secs(lasted.as_secs()));
        let dropped = dropped - state.dropped_before;
        if let Some(Failure {
            reason,
            message,
            remedy,
        }) = failure
        {
            tracing::warn!(
                destination = name,
                endpoint,
                reason,
                changes,
                points = waiting,
                dropped,
                "points wait in the queue, destination failed: {message}; {remedy}"
            );
        } else {
            tracing::info!(
                destination = name,
                changes,
                points = waiting,
                dropped,
                "destination accepts points again, after {lasted}"
            );
        }
    }

    pub(super) fn log_accepted(&self, rejected: u64, message: &str) {
        if rejected > 0 {
            self.log_dropped("partial_success", rejected, message);
        } else if !message.is_empty()
            && let Some(suppressed) = self.limiter.admit("warning")
        {
            tracing::warn!(
                destination = self.destination.name,
                suppressed,
                "destination accepted the points with a warning: {message}"
            );
        }
    }

    pub(super) fn log_size(&self, bytes: u64, message: &str, remedy: &str) {
        if let Some(suppressed) = self.limiter.admit("request_size") {
            tracing::warn!(
                destination = self.destination.name,
                bytes,
                suppressed,
                "a request is larger than the destination takes: {message}; {remedy}"
            );
        }
    }

    pub(super) fn log_dropped(&self, reason: &'static str, points: u64, message: &str) {
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

    /// Names the metric, not the values: these are whatever somebody wrote.
    pub(super) fn log_undeliverable(&self, metric: &str, message: &str) {
        if let Some(suppressed) = self.limiter.admit("undeliverable") {
            tracing::warn!(
                destination = self.destination.name,
                metric,
                suppressed,
                "a point does not get there while others do, it is dropped: {message}; check the receiver's log, and what filters \
                 requests on the way"
            );
        }
    }
}
