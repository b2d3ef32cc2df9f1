//! Queue of one destination with the counts of its points.
//!
//! Between calls `queued = sent + dropped + waiting` holds.

use super::destination::Destination;
use super::metrics::Metrics;
use super::queue::{Lost, Queue, Request, Usage};
use super::record::{MAX_RECORD_BYTES, Record};
use accelscope_core::budget::Account;

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
    /// Where it is, as a person may see it.
    pub endpoint: String,
    /// Content of its queue, records in flight included.
    pub waiting: Usage,
    /// Points by outcome, so far.
    pub totals: Totals,
    /// Reason of the last request that failed; kept after later successes.
    pub last_error: Option<String>,
    /// What helps against that.
    pub last_remedy: Option<&'static str>,
    /// Whether the last request failed.
    pub is_failing: bool,
    /// What the receiver said with its last partial success, or with a success that it warned of; kept after later ones.
    pub last_warning: Option<String>,
    /// Reason for which the destination refuses everything, while it does.
    pub blocked: Option<&'static str>,
}

/// The queue with its counts.
pub(super) struct Delivery {
    pub(super) queue: Queue,
    pub(super) metrics: Metrics,
    pub(super) state: DestinationState,
    /// `queue_bytes`, and what of it holds while memory is short.
    configured: u64,
    limit: u64,
    account: Option<Account>,
}

impl Delivery {
    pub(super) fn new(destination: &Destination) -> Self {
        Self {
            queue: Queue::new(destination.queue_bytes),
            metrics: Metrics::new(&destination.name, destination.queue_bytes),
            state: DestinationState {
                name: destination.name.clone(),
                endpoint: destination.shown_endpoint(),
                waiting: Usage::default(),
                totals: Totals::default(),
                last_error: None,
                last_remedy: None,
                is_failing: false,
                last_warning: None,
                blocked: None,
            },
            configured: destination.queue_bytes,
            limit: destination.queue_bytes,
            account: None,
        }
    }

    /// The queue draws on this account: it is bounded by what is left there, too.
    pub(super) fn draw_on(&mut self, account: Account) {
        self.account = Some(account);
        self.bound();
    }

    fn bound(&mut self) {
        let room = self.account.as_ref().map_or(u64::MAX, Account::room);
        // However short memory is, a collection in two records passes.
        let limit = self.configured.min(room.max(2 * MAX_RECORD_BYTES as u64));
        self.metrics.limited(self.limit, limit);
        self.limit = limit;
        self.queue.set_limit(limit);
    }

    /// Queues the records; returns the number of points that were dropped for it.
    pub(super) fn push(&mut self, records: &[Record]) -> u64 {
        let before = self.state.totals.dropped;
        self.bound();
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
        if let Some(account) = &self.account {
            account.set(self.state.waiting.bytes);
        }
    }

    /// Sets the reason for which the destination refuses everything, or that it takes points again.
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::destination::{Compression, Protocol, TlsFiles};
    use super::super::record::Owners;
    use super::*;
    use accelscope_core::budget::{self, Budget, Purpose};
    use accelscope_core::metric::Timestamp;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_queue_gives_way_to_series_and_counts_what_it_loses() {
        let budget = Budget::new(budget::FIXED + budget::PER_DESTINATION + 10 * MIB, 1);
        let mut delivery = Delivery::new(&Destination {
            name: "default".to_owned(),
            endpoint: "http://localhost:4317".parse().unwrap(),
            protocol: Protocol::Grpc,
            headers: Vec::new(),
            headers_file: None,
            compression: Compression::None,
            timeout: std::time::Duration::from_secs(1),
            queue_bytes: 16 * MIB,
            tls: TlsFiles::default(),
            proxy: None,
        });
        delivery.draw_on(budget.account(Purpose::Queue));
        let push = |delivery: &mut Delivery, count: usize| {
            let record = Record {
                bytes: Bytes::from(vec![0; MIB as usize]),
                points: 7,
                time: Timestamp::from_unix_nanos(1),
                owners: Owners::default(),
            };
            delivery.push(&vec![record; count]);
            delivery.state.waiting.bytes / MIB
        };
        assert_eq!(push(&mut delivery, 12), 10);
        let series = budget.account(Purpose::Series);
        series.set(4 * MIB);
        assert_eq!(push(&mut delivery, 1), 6);
        assert_eq!(budget.used(Purpose::Queue), 6 * MIB);
        let (totals, waiting) = (delivery.state.totals, delivery.state.waiting);
        assert_eq!(totals.queued, totals.sent + totals.dropped + waiting.points);
        drop(series);
        assert_eq!(push(&mut delivery, 3), 9);
    }
}
