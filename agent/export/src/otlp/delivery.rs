//! Queue of one destination with the counts of its points.
//!
//! Between calls `queued = sent + dropped + waiting` holds.

use super::destination::Destination;
use super::metrics::Metrics;
use super::queue::{Lost, Queue, Request, Usage};
use super::record::Record;

/// Number of points by outcome. `queued` is the sum of the other two and of the waiting ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Added to the queue.
    pub queued: u64,
    /// Acknowledged by the receiver.
    pub sent: u64,
    /// Lost, each counted by reason in `agent.export.dropped`.
    pub dropped: u64,
}

/// State of one destination.
#[derive(Debug, Clone)]
pub struct DestinationState {
    /// Its name.
    pub name: String,
    /// Content of its queue, records in flight included.
    pub waiting: Usage,
    /// Points by outcome, so far.
    pub totals: Totals,
    /// Reason of the last request that failed; kept after later successes.
    pub last_error: Option<String>,
    /// Reason for which the destination refuses everything, while it does.
    pub blocked: Option<&'static str>,
}

/// The queue with its counts.
pub(super) struct Delivery {
    pub(super) queue: Queue,
    pub(super) metrics: Metrics,
    pub(super) state: DestinationState,
}

impl Delivery {
    pub(super) fn new(destination: &Destination) -> Self {
        Self {
            queue: Queue::new(destination.queue_bytes),
            metrics: Metrics::new(&destination.name, destination.queue_bytes),
            state: DestinationState {
                name: destination.name.clone(),
                waiting: Usage::default(),
                totals: Totals::default(),
                last_error: None,
                blocked: None,
            },
        }
    }

    /// Queues the records; returns the number of points that were dropped for it.
    pub(super) fn push(&mut self, records: &[Record]) -> u64 {
        let before = self.state.totals.dropped;
        for record in records {
            self.state.totals.queued += record.points;
            self.metrics.queued(record.points);
            let lost = self.queue.push(record.clone());
            self.count_lost(lost);
        }
        self.show_usage();
        self.state.totals.dropped - before
    }

    /// What is in flight, `request`, arrived, except `rejected` of its points.
    pub(super) fn sent(&mut self, request: &Request, rejected: u64) {
        let rejected = rejected.min(request.points);
        let sent = request.points - rejected;
        self.state.totals.sent += sent;
        self.metrics.sent(sent, request.bytes());
        if rejected > 0 {
            self.drop_points(rejected, "partial_success");
        }
        self.acknowledge();
    }

    /// What is in flight, `request`, will never be accepted.
    pub(super) fn refused(&mut self, request: &Request, reason: &'static str) {
        self.drop_points(request.points, reason);
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        self.queue.acknowledge();
        self.show_usage();
    }

    /// What is in flight waits again.
    pub(super) fn release(&mut self) {
        let lost = self.queue.release();
        self.count_lost(lost);
        self.show_usage();
    }

    fn count_lost(&mut self, lost: Vec<Lost>) {
        for (points, reason) in lost {
            self.drop_points(points, reason);
        }
    }

    fn drop_points(&mut self, points: u64, reason: &'static str) {
        self.state.totals.dropped += points;
        self.metrics.dropped(points, reason);
    }

    fn show_usage(&mut self) {
        let before = std::mem::replace(&mut self.state.waiting, self.queue.usage());
        self.metrics.waiting(before, self.state.waiting);
    }

    /// Sets the reason for which the destination refuses everything, or that it no longer does.
    pub(super) fn block(&mut self, reason: Option<&'static str>) {
        let before = std::mem::replace(&mut self.state.blocked, reason);
        if before == reason {
            return;
        }
        if let Some(old) = before {
            self.metrics.blocked(old, false);
        }
        if let Some(new) = reason {
            self.metrics.blocked(new, true);
        }
    }
}
