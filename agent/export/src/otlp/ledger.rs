//! One destination's queue and the account of every point that entered it.
//!
//! `queued = sent + dropped + waiting` holds whenever nobody is inside one of these methods.

use super::meters::Meters;
use super::queue::{Loss, Queue, Usage};
use super::record::Record;
use accelscope_core::metric::Timestamp;

/// What became of the points. `queued` is the sum of the other two and of what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Handed to the queue.
    pub queued: u64,
    /// Acknowledged by the receiver.
    pub sent: u64,
    /// Lost, each counted by reason in `agent.export.dropped`.
    pub dropped: u64,
}

/// What one destination looks like from outside.
#[derive(Debug, Clone)]
pub struct DestinationState {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub endpoint: String,
    /// What waits, those in flight included.
    pub waiting: Usage,
    /// Bytes that may wait.
    pub limit: u64,
    /// What became of the points so far.
    pub totals: Totals,
    /// When a request last succeeded.
    pub last_success: Option<Timestamp>,
    /// When and why a request last failed; stays after later successes.
    pub last_error: Option<(Timestamp, String)>,
    /// Why the destination refuses everything, while it does.
    pub blocked: Option<&'static str>,
}

/// The queue with its books.
pub(super) struct Ledger {
    queue: Box<dyn Queue>,
    meters: Meters,
    totals: Totals,
    flight: Usage,
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_error: Option<(Timestamp, String)>,
    blocked: Option<&'static str>,
}

impl Ledger {
    pub(super) fn new(queue: Box<dyn Queue>, destination: &str) -> Self {
        let meters = Meters::new(destination, queue.limit());
        Self {
            queue,
            meters,
            totals: Totals::default(),
            flight: Usage::default(),
            last_success: None,
            last_error: None,
            blocked: None,
        }
    }

    /// Queues the records; returns how many points had to go for it.
    pub(super) fn push(&mut self, records: &[Record]) -> u64 {
        let before = self.totals.dropped;
        let Self {
            queue, meters, totals, ..
        } = self;
        for record in records.iter().filter(|record| !record.is_empty()) {
            totals.queued += record.points;
            meters.queued(record.points);
            queue.push(record.clone(), &mut |lost, why| {
                drop_points(meters, totals, lost.points, reason(why));
            });
        }
        self.settle();
        self.totals.dropped - before
    }

    /// The oldest records, in flight from now on.
    pub(super) fn take(&mut self, max_bytes: u64, max_records: usize) -> Vec<Record> {
        let taken = self.queue.take(max_bytes, max_records);
        self.flight = Usage {
            records: taken.len(),
            points: taken.iter().map(|record| record.points).sum(),
            bytes: taken.iter().map(Record::len).sum(),
        };
        taken
    }

    /// What is in flight arrived, but for `rejected` of its points.
    pub(super) fn sent(&mut self, rejected: u64) {
        let rejected = rejected.min(self.flight.points);
        let sent = self.flight.points - rejected;
        self.totals.sent += sent;
        self.meters.sent(sent, self.flight.bytes);
        if rejected > 0 {
            drop_points(&self.meters, &mut self.totals, rejected, "partial_success");
        }
        self.last_success = Some(Timestamp::now());
        self.acknowledge();
    }

    /// What is in flight will never be taken.
    pub(super) fn refused(&mut self, reason: &'static str) {
        drop_points(&self.meters, &mut self.totals, self.flight.points, reason);
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        self.queue.acknowledge();
        self.flight = Usage::default();
        self.settle();
    }

    /// What is in flight waits again.
    pub(super) fn release(&mut self) {
        let Self {
            queue, meters, totals, ..
        } = self;
        queue.release(&mut |lost, why| drop_points(meters, totals, lost.points, reason(why)));
        self.flight = Usage::default();
        self.settle();
    }

    fn settle(&mut self) {
        self.meters.waiting(self.queue.usage());
    }

    /// Says that everything is refused for this reason, or no longer.
    pub(super) fn block(&mut self, reason: Option<&'static str>) {
        if self.blocked == reason {
            return;
        }
        if let Some(old) = self.blocked {
            self.meters.blocked(old, false);
        }
        if let Some(new) = reason {
            self.meters.blocked(new, true);
        }
        self.blocked = reason;
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    pub(super) fn usage(&self) -> Usage {
        self.queue.usage()
    }

    pub(super) fn meters(&self) -> &Meters {
        &self.meters
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

fn drop_points(meters: &Meters, totals: &mut Totals, points: u64, reason: &'static str) {
    totals.dropped += points;
    meters.dropped(points, reason);
}

const fn reason(why: Loss) -> &'static str {
    match why {
        Loss::QueueFull => "queue_full",
        Loss::TooLarge => "too_large",
    }
}
