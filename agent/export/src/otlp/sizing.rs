//! How much the next request carries.
//!
//! Four things make requests smaller, and each but the last has its own memory:
//!
//! - a *slow link*: a request that did not pass within the timeout is halved, and doubled again as soon as requests pass
//!   within a quarter of the timeout, so that a steady link sees no further timeouts;
//! - a *limit of the receiver* (413): halved too, but the learnt size is kept for many requests before a larger one is
//!   tried ([`Learnt`]);
//! - a *refusal*: what was refused is halved until the smallest piece that is refused is found. Where all pieces pass, it was
//!   the number of points that was refused, and it is learnt too;
//! - a *doubt* (`sender/doubt.rs`): what goes on failing is halved until the point is found that never gets there.

use std::time::Duration;

use super::learnt::Learnt;
use super::queue::Limits;

/// Largest request in bytes, before compression: below the 4 MiB that a gRPC server accepts by default.
pub const MAX_REQUEST_BYTES: u64 = 3_670_016;

/// Requests that pass before a larger one is tried: at first, and at most.
const PATIENCE: std::ops::RangeInclusive<u32> = 32..=4096;

/// Pieces that are dropped one point at a time, before more are dropped together.
const SINGLE_DROPS: u32 = 4;

/// Whom a refusal speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The points: sending them again is of no use.
    Data,
    /// The receiver, which may recover.
    Receiver,
}

/// What to do with a request that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Send smaller ones.
    Divide,
    /// Send it again after a pause: the receiver may recover, or it cannot be divided.
    Confirm,
    /// It was sent twice and refused twice.
    Final,
}

/// The request that was refused: the queue's [`front`](super::queue::Queue::front) and its number of points.
pub(super) type Identity = (u64, u64);

#[derive(Debug)]
pub(super) struct Sizing {
    /// Bytes that the link carries within the timeout.
    link: u64,
    /// Bytes that the receiver takes, by its word.
    bytes: Learnt,
    /// Points that it takes, for all that is known.
    most: Learnt,
    /// Points of a request, after a refusal.
    points: u64,
    /// Points at the queue's front among which the receiver refused one.
    suspect: u64,
    /// Pieces that were dropped without a success in between.
    dropped: u32,
    /// Whether a request passed since the last refusal, or there was none.
    has_passed: bool,
    refused: Option<Identity>,
    /// Requests as large as the link allows that passed, too slowly to grow at once.
    steady: u32,
    /// As many of those before a larger one is tried; twice as many each time that one was too slow.
    steadiness: u32,
}

impl Sizing {
    pub(super) const fn new() -> Self {
        Self {
            link: MAX_REQUEST_BYTES,
            bytes: Learnt::new(MAX_REQUEST_BYTES, *PATIENCE.start()),
            // A receiver that failed for a moment gets as much as before at once.
            most: Learnt::new(u64::MAX, 1),
            points: u64::MAX,
            suspect: 0,
            dropped: 0,
            has_passed: true,
            refused: None,
            steady: 0,
            steadiness: *PATIENCE.start(),
        }
    }

    pub(super) fn limits(&self, records: usize) -> Limits {
        let half = match self.suspect {
            0 => u64::MAX,
            suspect => suspect / 2,
        };
        Limits {
            bytes: self.link.min(self.bytes.size()),
            // What is to be refused twice is sent again as it was, though more has arrived behind it.
            points: self
                .points
                .min(half)
                .min(self.most.size())
                .max(self.grain())
                .min(self.refused.map_or(u64::MAX, |(_, points)| points)),
            records,
        }
    }

    /// Points that are dropped together.
    fn grain(&self) -> u64 {
        1 << self.dropped.saturating_sub(SINGLE_DROPS).min(62)
    }

    /// A request of this size did not pass in time.
    pub(super) fn too_slow(&mut self, bytes: u64) {
        self.link = (bytes / 2).max(1);
        self.steady = 0;
        self.steadiness = (self.steadiness * 2).min(*PATIENCE.end());
    }

    /// Of a request of so many points one seems to be why it fails.
    pub(super) fn suspected(&mut self, points: u64) {
        self.points = (points / 2).max(1);
    }

    /// A request of this size is more than the receiver takes. One of a single point cannot get smaller.
    pub(super) fn too_large(&mut self, request: Identity, bytes: u64) -> Refusal {
        let (_, points) = request;
        if points <= 1 {
            return self.confirm(request);
        }
        self.bytes.shrink(bytes / 2);
        Refusal::Divide
    }

    /// A request was refused.
    ///
    /// Where the receiver is at fault and took what was sent before, it gets the same once more: it may have failed for a
    /// moment, or take only so many requests in a time, and smaller ones would then only be slower.
    ///
    /// Where the data is at fault, more is dropped at once the more was dropped without a success in between: a receiver
    /// that refuses everything must not keep the newest points waiting behind the oldest for ever.
    pub(super) fn refused(&mut self, request: Identity, fault: Fault) -> Refusal {
        let (_, points) = request;
        if fault == Fault::Receiver {
            // It says nothing of the data, so that nothing speaks for dropping more at once.
            self.dropped = 0;
        }
        if points > self.grain() {
            // Whatever is refused next is divided: of a full queue the oldest points may be others by then.
            if std::mem::take(&mut self.has_passed) && fault == Fault::Receiver {
                self.refused = Some(request);
                return Refusal::Confirm;
            }
            self.refused = None;
            self.suspect = points;
            self.points = points / 2;
            return Refusal::Divide;
        }
        self.has_passed = false;
        let refusal = self.confirm(request);
        if refusal == Refusal::Final {
            self.suspect = 0;
            self.dropped += u32::from(fault == Fault::Data);
            self.points = self.grain();
        }
        refusal
    }

    fn confirm(&mut self, request: Identity) -> Refusal {
        if self.refused.take() == Some(request) {
            return Refusal::Final;
        }
        self.refused = Some(request);
        Refusal::Confirm
    }

    /// A request of this size passed; `took` of `timeout`.
    pub(super) fn accepted(&mut self, points: u64, bytes: u64, took: Duration, timeout: Duration) {
        self.refused = None;
        self.dropped = 0;
        self.has_passed = true;
        if self.suspect == 0 {
            self.points = self.points.max(points).saturating_mul(2);
            self.most.passed(points);
        } else if points >= self.suspect {
            self.suspect = 0;
            self.most.shrink(self.points);
        } else {
            self.suspect -= points;
        }
        if bytes > self.link / 2 {
            self.grow(bytes, took, timeout);
        }
        self.bytes.passed(bytes);
    }

    /// After a request as large as the link allows: a receiver that always takes half of the timeout is as slow with a large
    /// one, for all that is known, so that a little more is tried there too.
    fn grow(&mut self, bytes: u64, took: Duration, timeout: Duration) {
        let link = self.link.max(bytes);
        let more = if took <= timeout / 4 {
            self.steadiness = *PATIENCE.start();
            link
        } else {
            self.steady += 1;
            if took > timeout / 2 && self.steady < self.steadiness {
                return;
            }
            link / 4 + 1
        };
        self.steady = 0;
        self.link = link.saturating_add(more).min(MAX_REQUEST_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Sends `points` to a receiver that refuses the ones at `poison`, and returns the points that were dropped and the
    /// number of requests.
    fn search(points: u64, poison: &[u64], fault: Fault) -> (Vec<u64>, usize) {
        let (mut sizing, mut at, mut front, mut requests) = (Sizing::new(), 0, 0, 0);
        let mut dropped = Vec::new();
        while at < points {
            let sent = sizing.limits(usize::MAX).points.min(points - at);
            assert!(sent > 0);
            requests += 1;
            let is_refused = poison.iter().any(|bad| (at..at + sent).contains(bad));
            if !is_refused {
                sizing.accepted(sent, sent, Duration::ZERO, TIMEOUT);
            } else if sizing.refused((front, sent), fault) == Refusal::Final {
                dropped.extend(at..at + sent);
            } else {
                continue;
            }
            (at, front) = (at + sent, front + 1);
        }
        (dropped, requests)
    }

    proptest! {
        /// Of a receiver that refuses some points only those are dropped, and they are found in few requests.
        #[test]
        fn only_what_is_refused_is_dropped(points in 1u64..3000, poison in prop::collection::btree_set(0u64..3000, 0..4)) {
            let poison: Vec<_> = poison.into_iter().filter(|bad| *bad < points).collect();
            for fault in [Fault::Data, Fault::Receiver] {
                let (dropped, requests) = search(points, &poison, fault);
                prop_assert_eq!(&dropped, &poison);
                prop_assert!(requests <= 3 + poison.len() * 60, "{requests}");
            }
        }

        /// A receiver that fails whenever a request has more than some points gets about as many as it takes, and few more.
        #[test]
        fn a_limit_that_the_receiver_does_not_name_is_learnt(limit in 1u64..3000) {
            for fault in [Fault::Data, Fault::Receiver] {
                let (mut sizing, mut front, mut sent, mut requests, mut refused) = (Sizing::new(), 0, 0, 0, 0);
                while requests < 20_000 {
                    requests += 1;
                    let points = sizing.limits(usize::MAX).points.min(100_000);
                    if points > limit {
                        refused += 1;
                        prop_assert_ne!(sizing.refused((front, points), fault), Refusal::Final);
                    } else {
                        (sent, front) = (sent + points, front + 1);
                        sizing.accepted(points, points, Duration::ZERO, TIMEOUT);
                    }
                }
                prop_assert!(refused <= 60, "{refused} of {requests} were refused");
                prop_assert!(sent >= (requests - refused) * limit * 9 / 20, "{sent} points in {requests} requests");
            }
        }

        /// Whatever the receiver's limit is, a size below it is found and kept.
        #[test]
        fn a_limit_of_the_receiver_is_learnt(limit in 1u64..MAX_REQUEST_BYTES) {
            let (mut sizing, mut refused) = (Sizing::new(), 0);
            for request in 0..2000 {
                let bytes = sizing.limits(9).bytes;
                if bytes > limit {
                    refused += 1;
                    sizing.too_large((request, 9), bytes);
                } else {
                    sizing.accepted(9, bytes, Duration::ZERO, TIMEOUT);
                    prop_assert!(bytes * 2 >= limit, "{bytes} of {limit}");
                }
            }
            prop_assert!(refused <= 30, "{refused} of 2000");
        }
    }

    /// An outage made the requests as small as they get; the receiver then takes the same time for each, whatever its size.
    #[test]
    fn requests_grow_again_however_long_a_receiver_takes_for_each() {
        for (took, most) in [(1, 60), (3, 120), (4, 120)] {
            let mut sizing = Sizing::new();
            for _ in 0..30 {
                sizing.too_slow(sizing.limits(9).bytes);
            }
            let mut requests = 0;
            while sizing.limits(9).bytes < MAX_REQUEST_BYTES {
                requests += 1;
                assert!(
                    requests <= most,
                    "{took} s: {} bytes after {most}",
                    sizing.limits(9).bytes
                );
                sizing.accepted(9, sizing.limits(9).bytes, Duration::from_secs(took), TIMEOUT);
            }
        }
    }

    /// What was dropped for the data's sake does not make an outage of the receiver costly.
    #[test]
    fn an_outage_after_bad_data_drops_single_points() {
        let mut sizing = Sizing::new();
        let mut refuse = |fault| {
            let points = sizing.limits(9).points.min(10_000);
            (sizing.refused((1, points), fault), points)
        };
        while refuse(Fault::Data).1 < 64 || refuse(Fault::Data).0 != Refusal::Final {}
        let first = loop {
            if let (Refusal::Final, points) = refuse(Fault::Receiver) {
                break points;
            }
        };
        assert_eq!(first, 1);
    }

    /// A full queue loses its oldest points while the receiver fails.
    #[test]
    fn what_is_sent_again_is_divided_though_the_oldest_points_are_others() {
        let mut sizing = Sizing::new();
        assert_eq!(sizing.refused((1, 100), Fault::Receiver), Refusal::Confirm);
        for front in 2..8 {
            let points = sizing.limits(9).points;
            assert_eq!(points, 100 >> (front - 2));
            assert_eq!(sizing.refused((front, points), Fault::Receiver), Refusal::Divide);
        }
        assert_eq!(sizing.limits(9).points, 1);
    }

    /// More arrives behind a piece while it is confirmed.
    #[test]
    fn a_piece_is_confirmed_though_the_queue_grows() {
        let mut sizing = Sizing::new();
        sizing.dropped = 30;
        for queued in [100, 200] {
            let points = sizing.limits(9).points.min(queued);
            assert_eq!(points, 100);
            let expected = if queued == 100 {
                Refusal::Confirm
            } else {
                Refusal::Final
            };
            assert_eq!(sizing.refused((1, points), Fault::Data), expected);
        }
    }

    #[test]
    fn a_receiver_that_refuses_everything_costs_a_point_each_pause_or_in_the_end_twice_as_many_each_time() {
        let all: Vec<_> = (0..1000).collect();
        for (fault, pauses) in [(Fault::Data, 14), (Fault::Receiver, 1001)] {
            let (mut sizing, mut left, mut seen, mut front) = (Sizing::new(), all.len() as u64, 0, 0);
            while left > 0 {
                let sent = sizing.limits(9).points.min(left);
                match sizing.refused((front, sent), fault) {
                    Refusal::Divide => {}
                    Refusal::Confirm => seen += 1,
                    Refusal::Final => (left, front) = (left - sent, front + 1),
                }
            }
            assert_eq!(seen, pauses, "{fault:?}");
        }
    }

    #[test]
    fn on_a_steady_link_requests_shrink_until_they_pass_and_stay() {
        // 12 kB a second.
        let took = |bytes: u64| Duration::from_millis(bytes / 12);
        let (mut sizing, mut late) = (Sizing::new(), 0);
        for _ in 0..200 {
            let bytes = sizing.limits(9).bytes;
            if took(bytes) > TIMEOUT {
                late += 1;
                sizing.too_slow(bytes);
            } else {
                sizing.accepted(9, bytes, took(bytes), TIMEOUT);
            }
        }
        assert!(late <= 7, "{late} of 200");
        assert!(
            took(sizing.limits(9).bytes) > TIMEOUT / 4,
            "smaller than the link allows"
        );
        // The link is good again.
        for _ in 0..9 {
            sizing.accepted(9, sizing.limits(9).bytes, Duration::ZERO, TIMEOUT);
        }
        assert_eq!(sizing.limits(9).bytes, MAX_REQUEST_BYTES);
    }
}
