//! Queue of one destination with the counts of its points.
//!
//! Between calls `queued = sent + dropped + waiting` holds.

use super::destination::Destination;
use super::metrics::Metrics;
use super::queue::{Lost, Queue, Usage};
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
    queue: Queue,
    metrics: Metrics,
    totals: Totals,
    in_flight: Usage,
    pub(super) last_error: Option<String>,
    blocked: Option<&'static str>,
}

impl Delivery {
    pub(super) fn new(destination: &Destination) -> Self {
        let limit = destination.queue_bytes;
        Self {
            queue: Queue::new(limit),
            metrics: Metrics::new(&destination.name, limit),
            totals: Totals::default(),
            in_flight: Usage::default(),
            last_error: None,
            blocked: None,
        }
    }

    /// Queues the records; returns the number of points that were dropped for it.
    pub(super) fn push(&mut self, records: &[Record]) -> u64 {
        let before = self.totals.dropped;
        for record in records {
            self.totals.queued += record.points;
            self.metrics.queued(record.points);
            let lost = self.queue.push(record.clone());
            self.count_lost(lost);
        }
        self.show_usage();
        self.totals.dropped - before
    }

    /// Puts the oldest records in flight.
    pub(super) fn take(&mut self, max_bytes: u64, max_records: usize) -> Vec<Record> {
        let taken = self.queue.take(max_bytes, max_records);
        self.in_flight = Usage {
            records: taken.len(),
            points: taken.iter().map(|record| record.points).sum(),
            bytes: taken.iter().map(Record::size).sum(),
        };
        taken
    }

    /// The records in flight arrived, except `rejected` of their points.
    pub(super) fn sent(&mut self, rejected: u64) {
        let rejected = rejected.min(self.in_flight.points);
        let sent = self.in_flight.points - rejected;
        self.totals.sent += sent;
        self.metrics.sent(sent, self.in_flight.bytes);
        if rejected > 0 {
            self.drop_points(rejected, "partial_success");
        }
        self.acknowledge();
    }

    /// The records in flight will never be accepted; returns the number of their points.
    pub(super) fn refused(&mut self, reason: &'static str) -> u64 {
        let points = self.in_flight.points;
        self.drop_points(points, reason);
        self.acknowledge();
        points
    }

    fn acknowledge(&mut self) {
        self.queue.acknowledge();
        self.in_flight = Usage::default();
        self.show_usage();
    }

    /// The records in flight wait again.
    pub(super) fn release(&mut self) {
        let lost = self.queue.release();
        self.count_lost(lost);
        self.in_flight = Usage::default();
        self.show_usage();
    }

    fn count_lost(&mut self, lost: Vec<Lost>) {
        for (record, reason) in lost {
            self.drop_points(record.points, reason);
        }
    }

    fn drop_points(&mut self, points: u64, reason: &'static str) {
        self.totals.dropped += points;
        self.metrics.dropped(points, reason);
    }

    fn show_usage(&mut self) {
        self.metrics.waiting(self.queue.usage());
    }

    /// Sets the reason for which the destination refuses everything, or that it no longer does.
    pub(super) fn block(&mut self, reason: Option<&'static str>) {
        if self.blocked == reason {
            return;
        }
        if let Some(old) = self.blocked {
            self.metrics.blocked(old, false);
        }
        if let Some(new) = reason {
            self.metrics.blocked(new, true);
        }
        self.blocked = reason;
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    pub(super) fn usage(&self) -> Usage {
        self.queue.usage()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn state(&self, destination: &Destination) -> DestinationState {
        DestinationState {
            name: destination.name.clone(),
            waiting: self.queue.usage(),
            totals: self.totals,
            last_error: self.last_error.clone(),
            blocked: self.blocked,
        }
    }
}
