//! Queue of one destination with the counts of its points.
//!
//! Between calls `queued = sent + dropped + waiting` holds.

use super::metrics::Metrics;
use super::queue::{Loss, Queue, Usage};
use super::record::Record;
use accelscope_core::metric::Timestamp;

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
    /// Its endpoint.
    pub endpoint: String,
    /// Content of its queue, records in flight included.
    pub waiting: Usage,
    /// Bound of its queue in bytes.
    pub limit: u64,
    /// Points by outcome, so far.
    pub totals: Totals,
    /// Time of the last request that succeeded.
    pub last_success: Option<Timestamp>,
    /// Time and reason of the last request that failed; kept after later successes.
    pub last_error: Option<(Timestamp, String)>,
    /// Reason for which the destination refuses everything, while it does.
    pub blocked: Option<&'static str>,
}

/// The queue with its counts.
pub(super) struct Delivery {
    queue: Box<dyn Queue>,
    metrics: Metrics,
    totals: Totals,
    in_flight: Usage,
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_error: Option<(Timestamp, String)>,
    blocked: Option<&'static str>,
}

impl Delivery {
    pub(super) fn new(queue: Box<dyn Queue>, destination: &str) -> Self {
        let metrics = Metrics::new(destination, queue.limit());
        Self {
            queue,
            metrics,
            totals: Totals::default(),
            in_flight: Usage::default(),
            last_success: None,
            last_error: None,
            blocked: None,
        }
    }

    /// Queues the records; returns the number of points that were dropped for it.
    pub(super) fn push(&mut self, records: &[Record]) -> u64 {
        let before = self.totals.dropped;
        let Self {
            queue, metrics, totals, ..
        } = self;
        for record in records.iter().filter(|record| !record.is_empty()) {
            totals.queued += record.points;
            metrics.queued(record.points);
            queue.push(record.clone(), &mut |lost, why| {
                drop_points(metrics, totals, lost.points, reason(why));
            });
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
            bytes: taken.iter().map(Record::len).sum(),
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
            drop_points(&self.metrics, &mut self.totals, rejected, "partial_success");
        }
        self.last_success = Some(Timestamp::now());
        self.acknowledge();
    }

    /// The records in flight will never be accepted.
    pub(super) fn refused(&mut self, reason: &'static str) {
        drop_points(&self.metrics, &mut self.totals, self.in_flight.points, reason);
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        self.queue.acknowledge();
        self.in_flight = Usage::default();
        self.show_usage();
    }

    /// The records in flight wait again.
    pub(super) fn release(&mut self) {
        let Self {
            queue, metrics, totals, ..
        } = self;
        queue.release(&mut |lost, why| drop_points(metrics, totals, lost.points, reason(why)));
        self.in_flight = Usage::default();
        self.show_usage();
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

    pub(super) fn state(&self, name: &str, endpoint: &url::Url) -> DestinationState {
        DestinationState {
            name: name.to_owned(),
            endpoint: endpoint.to_string(),
            waiting: self.queue.usage(),
            limit: self.queue.limit(),
            totals: self.totals,
            last_success: self.last_success,
            last_error: self.last_error.clone(),
            blocked: self.blocked,
        }
    }
}

fn drop_points(metrics: &Metrics, totals: &mut Totals, points: u64, reason: &'static str) {
    totals.dropped += points;
    metrics.dropped(points, reason);
}

const fn reason(why: Loss) -> &'static str {
    match why {
        Loss::QueueFull => "queue_full",
        Loss::TooLarge => "too_large",
    }
}
