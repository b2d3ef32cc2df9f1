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

/// Reason for which the queue dropped a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It was the oldest when the bound was reached.
    QueueFull,
    /// It alone exceeds the bound.
    TooLarge,
}

/// Storage of the records that wait for a destination.
///
/// The records returned by [`take`](Self::take) are *in flight* until [`acknowledge`](Self::acknowledge) or
/// [`release`](Self::release); they are not dropped in between.
pub trait Queue: Send {
    /// Appends a record. `lost` is called for each record that is dropped for it, which may be the record itself.
    fn push(&mut self, record: Record, lost: &mut dyn FnMut(&Record, Loss));

    /// Puts the oldest records in flight, as many as `max_bytes` and `max_records` allow and at least one unless the queue
    /// is empty. No record may be in flight already.
    fn take(&mut self, max_bytes: u64, max_records: usize) -> Vec<Record>;

    /// Removes the records in flight, delivered or not.
    fn acknowledge(&mut self);

    /// Returns the records in flight to their old place. `lost` is called for each record beyond the bound.
    fn release(&mut self, lost: &mut dyn FnMut(&Record, Loss));

    /// Content, records in flight included.
    fn usage(&self) -> Usage;

    /// Bound in bytes.
    fn limit(&self) -> u64;
}

/// Queue in memory; the bytes of a record are shared with the queues of other destinations.
#[derive(Debug)]
pub struct MemoryQueue {
    limit: u64,
    records: VecDeque<Record>,
    in_flight: usize,
    usage: Usage,
}

impl MemoryQueue {
    /// A queue of at most `limit` bytes. While records are in flight it keeps these and the newest record even beyond the
    /// limit.
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            records: VecDeque::new(),
            in_flight: 0,
            usage: Usage {
                records: 0,
                points: 0,
                bytes: 0,
            },
        }
    }

    fn remove(&mut self, at: usize) -> Option<Record> {
        let record = self.records.remove(at)?;
        self.usage.records -= 1;
        self.usage.points -= record.points;
        self.usage.bytes -= record.len();
        Some(record)
    }

    /// Drops the oldest records that are not in flight until the bound holds; the newest stays.
    fn shrink(&mut self, lost: &mut dyn FnMut(&Record, Loss)) {
        while self.usage.bytes > self.limit && self.records.len() > self.in_flight + 1 {
            if let Some(record) = self.remove(self.in_flight) {
                lost(&record, Loss::QueueFull);
            }
        }
    }
}

impl Queue for MemoryQueue {
    fn push(&mut self, record: Record, lost: &mut dyn FnMut(&Record, Loss)) {
        if record.len() > self.limit {
            lost(&record, Loss::TooLarge);
            return;
        }
        self.usage.records += 1;
        self.usage.points += record.points;
        self.usage.bytes += record.len();
        self.records.push_back(record);
        self.shrink(lost);
    }

    fn take(&mut self, max_bytes: u64, max_records: usize) -> Vec<Record> {
        let mut bytes = 0;
        let fitting = self.records.iter().take(max_records.max(1)).take_while(|record| {
            bytes += record.len();
            bytes <= max_bytes
        });
        self.in_flight = fitting.count().max(1).min(self.records.len());
        self.records.iter().take(self.in_flight).cloned().collect()
    }

    fn acknowledge(&mut self) {
        for _ in 0..std::mem::take(&mut self.in_flight) {
            self.remove(0);
        }
    }

    fn release(&mut self, lost: &mut dyn FnMut(&Record, Loss)) {
        self.in_flight = 0;
        self.shrink(lost);
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn limit(&self) -> u64 {
        self.limit
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
            let mut queue = MemoryQueue::new(LIMIT);
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
                        queue.push(new, &mut |r, why| lost.push((r.clone(), why)));
                    }
                    Step::Take(..) if !flight.is_empty() => {}
                    Step::Take(bytes, records) => {
                        flight = queue.take(bytes, records);
                        prop_assert_eq!(flight.is_empty(), model.is_empty());
                        prop_assert!(flight.iter().eq(model.iter().take(flight.len())), "not the oldest, in order");
                        prop_assert!(flight.len() <= 1 || flight.iter().map(Record::len).sum::<u64>() <= bytes);
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
                        queue.release(&mut |r, why| lost.push((r.clone(), why)));
                        flight.clear();
                    }
                }
                for (gone, why) in lost {
                    prop_assert!(!flight.contains(&gone), "dropped while in flight");
                    dropped += gone.points;
                    let at = match why {
                        Loss::QueueFull => flight.len(),
                        Loss::TooLarge => model.len() - 1,
                    };
                    prop_assert_eq!(model.remove(at), Some(gone), "not the oldest that waited");
                }
                let usage = queue.usage();
                prop_assert_eq!(queued, sent + dropped + usage.points);
                prop_assert_eq!(usage.records, model.len());
                prop_assert_eq!(usage.bytes, model.iter().map(Record::len).sum::<u64>());
                let in_flight: u64 = flight.iter().map(Record::len).sum();
                prop_assert!(usage.bytes <= LIMIT + in_flight);
                prop_assert!(!flight.is_empty() || usage.bytes <= LIMIT);
            }
        }
    }

    #[test]
    fn a_record_larger_than_the_bound_is_refused_and_disturbs_no_other() {
        let mut queue = MemoryQueue::new(10);
        let mut lost = Vec::new();
        queue.push(record(1, 8), &mut |_, why| lost.push(why));
        queue.push(record(2, 11), &mut |_, why| lost.push(why));
        assert_eq!(lost, [Loss::TooLarge]);
        assert_eq!(queue.take(100, 9), [record(1, 8)]);
    }
}
