//! Bounded queue of one destination that reports each record it drops.

use std::collections::VecDeque;

use super::record::Record;

/// Content of a queue, records in flight included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records.
    pub records: usize,
    /// Data points of the records.
    pub points: u64,
    /// Bytes of the records, uncompressed.
    pub bytes: u64,
}

/// A dropped record, and the reason: `queue_full` if it was the oldest when the bound was reached, `too_large` if it alone
/// exceeds the bound.
pub(super) type Lost = (Record, &'static str);

/// Records that wait for a destination; their bytes are shared with the queues of other destinations.
///
/// The records returned by [`take`](Self::take) are *in flight* until [`acknowledge`](Self::acknowledge) or
/// [`release`](Self::release); they are not dropped in between.
#[derive(Debug)]
pub(super) struct Queue {
    limit: u64,
    records: VecDeque<Record>,
    in_flight: usize,
    usage: Usage,
}

impl Queue {
    /// A queue of at most `limit` bytes. While records are in flight it keeps these and the newest record even beyond the
    /// limit.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            records: VecDeque::new(),
            in_flight: 0,
            usage: Usage::default(),
        }
    }

    /// Sets the bound, which holds from the next record on.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Appends a record. Returns those that are dropped for it, which may be the record itself.
    pub(super) fn push(&mut self, record: Record) -> Vec<Lost> {
        if record.size() > self.limit {
            return vec![(record, "too_large")];
        }
        self.usage.records += 1;
        self.usage.points += record.points;
        self.usage.bytes += record.size();
        self.records.push_back(record);
        self.shrink()
    }

    /// Puts the oldest records in flight, as many as `max_bytes` and `max_records` allow and at least one unless the queue
    /// is empty. No record may be in flight already.
    pub(super) fn take(&mut self, max_bytes: u64, max_records: usize) -> Vec<Record> {
        let mut bytes = 0;
        let fitting = self.records.iter().take(max_records.max(1)).take_while(|record| {
            bytes += record.size();
            bytes <= max_bytes
        });
        self.in_flight = fitting.count().max(1).min(self.records.len());
        self.records.iter().take(self.in_flight).cloned().collect()
    }

    /// Removes the records in flight, delivered or not.
    pub(super) fn acknowledge(&mut self) {
        for _ in 0..std::mem::take(&mut self.in_flight) {
            self.remove(0);
        }
    }

    /// Returns the records in flight to their old place. Returns those that are dropped because they exceed the bound.
    pub(super) fn release(&mut self) -> Vec<Lost> {
        self.in_flight = 0;
        self.shrink()
    }

    /// Content, records in flight included.
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    fn remove(&mut self, at: usize) -> Option<Record> {
        let record = self.records.remove(at)?;
        self.usage.records -= 1;
        self.usage.points -= record.points;
        self.usage.bytes -= record.size();
        Some(record)
    }

    /// Drops the oldest records that are not in flight until the bound holds; the newest stays.
    fn shrink(&mut self) -> Vec<Lost> {
        let mut lost = Vec::new();
        while self.usage.bytes > self.limit && self.records.len() > self.in_flight + 1 {
            lost.extend(self.remove(self.in_flight).map(|record| (record, "queue_full")));
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use accelscope_core::metric::Timestamp;

    fn record(id: u64, size: usize) -> Record {
        Record {
            bytes: Bytes::from(vec![0; size]),
            points: id % 7 + 1,
            time: Timestamp::from_unix_nanos(id),
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Take(u64, usize),
        Acknowledge,
        Release,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1usize..140).prop_map(Step::Push),
            2 => (1u64..250, 0usize..6).prop_map(|(bytes, records)| Step::Take(bytes, records)),
            1 => Just(Step::Acknowledge),
            1 => Just(Step::Release),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Each queued point is sent, reported as lost, or still queued; in order and within the bound.
        #[test]
        fn nothing_is_lost_without_a_report(steps in steps()) {
            const LIMIT: u64 = 300;
            let mut queue = Queue::new(LIMIT);
            let (mut next, mut queued, mut sent, mut dropped) = (0u64, 0u64, 0u64, 0u64);
            let mut flight: Vec<Record> = Vec::new();
            let mut model: VecDeque<Record> = VecDeque::new();
            for step in steps {
                let mut lost = Vec::new();
                match step {
                    Step::Push(size) => {
                        // Every fifth is beyond the limit by itself.
                        let size = if next % 5 == 4 { 301 + size } else { size };
                        let new = record(next, size);
                        next += 1;
                        queued += new.points;
                        model.push_back(new.clone());
                        lost = queue.push(new);
                    }
                    Step::Take(..) if !flight.is_empty() => {}
                    Step::Take(bytes, records) => {
                        flight = queue.take(bytes, records);
                        prop_assert_eq!(flight.is_empty(), model.is_empty());
                        prop_assert!(flight.iter().eq(model.iter().take(flight.len())), "not the oldest, in order");
                        prop_assert!(flight.len() <= 1 || flight.iter().map(Record::size).sum::<u64>() <= bytes);
                        prop_assert!(flight.len() <= records.max(1));
                    }
                    Step::Acknowledge => {
                        queue.acknowledge();
                        for done in flight.drain(..) {
                            prop_assert_eq!(model.pop_front(), Some(done.clone()));
                            sent += done.points;
                        }
                    }
                    Step::Release => {
                        lost = queue.release();
                        flight.clear();
                    }
                }
                for (gone, why) in lost {
                    prop_assert!(!flight.contains(&gone), "dropped while in flight");
                    dropped += gone.points;
                    let at = match why {
                        "queue_full" => flight.len(),
                        _ => model.len() - 1,
                    };
                    prop_assert_eq!(model.remove(at), Some(gone), "not the oldest that waited");
                }
                let usage = queue.usage();
                prop_assert_eq!(queued, sent + dropped + usage.points);
                prop_assert_eq!(usage.records, model.len());
                prop_assert_eq!(usage.bytes, model.iter().map(Record::size).sum::<u64>());
                let in_flight: u64 = flight.iter().map(Record::size).sum();
                prop_assert!(usage.bytes <= LIMIT + in_flight);
                prop_assert!(!flight.is_empty() || usage.bytes <= LIMIT);
            }
        }
    }

    #[test]
    fn a_record_larger_than_the_bound_is_refused_and_disturbs_no_other() {
        let mut queue = Queue::new(10);
        assert_eq!(queue.push(record(1, 8)), []);
        assert_eq!(queue.push(record(2, 11)), [(record(2, 11), "too_large")]);
        assert_eq!(queue.take(100, 9), [record(1, 8)]);
    }
}
