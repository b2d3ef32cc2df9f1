//! Bounded queue of one destination that reports each point it drops.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::record::{Owners, Record};

/// Content of a queue, what is in flight included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records.
    pub records: usize,
    /// Data points that wait; of a record that was sent in part, the rest.
    pub points: u64,
    /// Bytes of the records, uncompressed.
    pub bytes: u64,
}

/// Number of dropped points, and the reason: `queue_full` if they had to go when the bound was reached, `too_large` if their
/// record alone exceeds the bound.
pub(super) type Lost = (u64, &'static str);

/// What a request may carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) points: u64,
    pub(super) records: usize,
}

/// What one request carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Messages that are one when concatenated.
    pub(super) bodies: Vec<Bytes>,
    pub(super) points: u64,
}

impl Request {
    /// Uncompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.bodies.iter().map(|body| body.len() as u64).sum()
    }
}

/// Records that wait for a destination; their bytes are shared with the queues of other destinations.
///
/// What [`take`](Self::take) returned is *in flight* until [`acknowledge`](Self::acknowledge) or
/// [`release`](Self::release); its records are not dropped in between.
#[derive(Debug)]
pub(super) struct Queue {
    limit: u64,
    records: VecDeque<Record>,
    /// Points of the oldest record that are done with: they were sent, or dropped as refused.
    done: u64,
    in_flight: usize,
    /// Points in flight, where these are a part of the oldest record.
    part: Option<u64>,
    /// Grows when the oldest point becomes another one.
    front: u64,
    usage: Usage,
    /// Bytes of the workloads that have records of their own.
    large: HashMap<Arc<str>, u64>,
    /// How many workloads the newest record of several has.
    small: usize,
}

impl Queue {
    /// A queue of at most `limit` bytes. While records are in flight it keeps these and the newest record even beyond the
    /// limit.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            records: VecDeque::new(),
            done: 0,
            in_flight: 0,
            part: None,
            front: 0,
            usage: Usage::default(),
            large: HashMap::new(),
            small: 0,
        }
    }

    /// Sets the bound, which holds from the next record on.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Appends a record. Returns what is dropped for it, which may be the record itself.
    pub(super) fn push(&mut self, record: Record) -> Vec<Lost> {
        if record.size() > self.limit {
            return vec![(record.points, "too_large")];
        }
        self.usage.records += 1;
        self.usage.points += record.points;
        self.usage.bytes += record.size();
        match &record.owners {
            Owners::Many(small) => self.small = *small,
            Owners::One(workload) => *self.large.entry(workload.clone()).or_default() += record.size(),
        }
        self.records.push_back(record);
        self.shrink()
    }

    /// Puts the oldest points in flight: whole records, as many as the limits allow, or a part of the oldest one if that is
    /// more than they allow or was sent in part. At least one point, unless the queue is empty. Nothing may be in flight
    /// already.
    pub(super) fn take(&mut self, limits: Limits) -> Request {
        let Some(oldest) = self.records.front() else {
            return Request::default();
        };
        let left = oldest.points - self.done;
        let is_more = left > 1 && (left > limits.points || oldest.size() > limits.bytes);
        if (self.done > 0 || is_more)
            && let Some((body, points)) = oldest.part(self.done, limits.points, limits.bytes)
        {
            (self.in_flight, self.part) = (1, Some(points));
            return Request {
                bodies: vec![body],
                points,
            };
        }
        let (mut bytes, mut points) = (0, 0);
        let fitting = self.records.iter().take(limits.records.max(1)).take_while(|record| {
            bytes += record.size();
            points += record.points;
            bytes <= limits.bytes && points <= limits.points
        });
        (self.in_flight, self.part) = (fitting.count().max(1), None);
        let taken = self.records.iter().take(self.in_flight);
        Request {
            bodies: taken.clone().map(|record| record.bytes.clone()).collect(),
            points: taken.map(|record| record.points).sum::<u64>() - self.done,
        }
    }

    /// Removes what is in flight, delivered or not.
    pub(super) fn acknowledge(&mut self) {
        let records = std::mem::take(&mut self.in_flight);
        self.front += 1;
        if let Some(points) = self.part.take() {
            self.done += points;
            self.usage.points -= points;
            if self.records.front().is_some_and(|oldest| oldest.points > self.done) {
                return;
            }
        }
        for _ in 0..records {
            self.remove(0);
        }
    }

    /// Returns what is in flight to its old place. Returns what is dropped because it exceeds the bound.
    pub(super) fn release(&mut self) -> Vec<Lost> {
        (self.in_flight, self.part) = (0, None);
        self.shrink()
    }

    /// Content, what is in flight included.
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// A number that stays as long as the oldest point is the same.
    pub(super) const fn front(&self) -> u64 {
        self.front
    }

    /// Returns the number of points that the record still had.
    fn remove(&mut self, at: usize) -> Option<u64> {
        let record = self.records.remove(at)?;
        let done = if at == 0 { std::mem::take(&mut self.done) } else { 0 };
        self.front += u64::from(at == 0);
        self.usage.records -= 1;
        self.usage.points -= record.points - done;
        self.usage.bytes -= record.size();
        if let Owners::One(workload) = &record.owners
            && let Some(bytes) = self.large.get_mut(workload)
        {
            *bytes -= record.size();
            if *bytes == 0 {
                self.large.remove(workload);
            }
        }
        Some(record.points - done)
    }

    /// Drops records that are not in flight until the bound holds; the newest stays.
    fn shrink(&mut self) -> Vec<Lost> {
        let mut lost = Vec::new();
        while self.usage.bytes > self.limit && self.records.len() > self.in_flight + 1 {
            let at = self.dispensable();
            lost.extend(self.remove(at).map(|points| (points, "queue_full")));
        }
        lost
    }

    /// The record that goes first: the oldest one of the workload that has most of the queue, if that is more than its share,
    /// else the oldest of all.
    fn dispensable(&self) -> usize {
        let of_greedy = self.greedy().and_then(|workload| {
            let mut waiting = self.in_flight..self.records.len() - 1;
            waiting.find(|at| matches!(&self.records[*at].owners, Owners::One(other) if other == workload))
        });
        of_greedy.unwrap_or(self.in_flight)
    }

    /// The workload that has most of the queue, if that is more than its share.
    pub(super) fn greedy(&self) -> Option<&Arc<str>> {
        let (workload, bytes) = self.large.iter().max_by_key(|(workload, bytes)| (**bytes, *workload))?;
        // The agent and the hardware have a share together.
        let sharing = (1 + self.small + self.large.len()) as u64;
        (*bytes > self.limit / sharing).then_some(workload)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use accelscope_core::metric::Timestamp;

    /// A record of points with these times, enlarged by `filler` bytes.
    fn record(times: std::ops::Range<u64>, filler: usize) -> Record {
        let points = times.end - times.start;
        let point = |time_unix_nano| NumberDataPoint {
            time_unix_nano,
            ..NumberDataPoint::default()
        };
        let metric = Metric {
            name: "m".repeat(filler + 1),
            data: Some(Data::Gauge(Gauge {
                data_points: times.map(point).collect(),
            })),
            ..Metric::default()
        };
        let scope = ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        };
        let resource = ResourceMetrics {
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![resource],
        };
        Record {
            bytes: Bytes::from(request.encode_to_vec()),
            points,
            time: Timestamp::from_unix_nanos(0),
            owners: Owners::default(),
        }
    }

    /// The times of the points of a request.
    fn times(request: &Request) -> Vec<u64> {
        let message = ExportMetricsServiceRequest::decode(&*request.bodies.concat()).unwrap();
        let metrics = message
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics);
        let points = metrics
            .flat_map(|scope| &scope.metrics)
            .flat_map(|metric| match &metric.data {
                Some(Data::Gauge(gauge)) => gauge.data_points.clone(),
                other => panic!("{other:?}"),
            });
        points.map(|point| point.time_unix_nano).collect()
    }

    /// The times of the points that wait or are in flight.
    fn waiting(queue: &Queue) -> Vec<u64> {
        let all = Request {
            bodies: queue.records.iter().map(|record| record.bytes.clone()).collect(),
            points: 0,
        };
        times(&all).split_off(queue.done as usize)
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// Points, bytes more, and which workload's they are, if not those of several.
        Push(u64, usize, u8),
        Take(u64, u64, usize),
        Acknowledge,
        Release,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (1u64..9, 0usize..60, 0u8..4).prop_map(|(points, filler, owner)| Step::Push(points, filler, owner)),
            2 => (1u64..250, 1u64..20, 0usize..6).prop_map(|(bytes, points, records)| Step::Take(bytes, points, records)),
            1 => Just(Step::Acknowledge),
            1 => Just(Step::Release),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Each queued point is sent, reported as lost, or still queued; in order and within the bound. What is in flight stays.
        #[test]
        fn nothing_is_lost_without_a_report(steps in steps()) {
            const LIMIT: u64 = 400;
            let mut queue = Queue::new(LIMIT);
            let (mut next, mut queued, mut sent, mut dropped) = (0u64, 0u64, 0u64, 0u64);
            let mut flight = Request::default();
            // The times of the points that wait, oldest first.
            let mut model: VecDeque<u64> = VecDeque::new();
            for step in steps {
                let mut lost = Vec::new();
                match step {
                    Step::Push(points, filler, owner) => {
                        // Every seventh is beyond the limit by itself.
                        let filler = if next % 7 == 6 { 400 } else { filler };
                        let mut new = record(next..next + points, filler);
                        if owner > 0 {
                            new.owners = Owners::One(owner.to_string().into());
                        }
                        model.extend(next..next + points);
                        next += points;
                        queued += points;
                        lost = queue.push(new);
                    }
                    Step::Take(..) if flight.points > 0 => {}
                    Step::Take(bytes, points, records) => {
                        flight = queue.take(Limits { bytes, points, records });
                        let taken = times(&flight);
                        prop_assert_eq!(taken.is_empty(), model.is_empty());
                        prop_assert_eq!(taken.len() as u64, flight.points);
                        prop_assert!(taken.iter().eq(model.iter().take(taken.len())), "not the oldest, in order");
                        prop_assert!(flight.points <= points.max(1));
                        prop_assert!(flight.points <= 1 || flight.bytes() <= bytes);
                        prop_assert!(flight.bodies.len() <= records.max(1));
                    }
                    Step::Acknowledge => {
                        let front = queue.front();
                        queue.acknowledge();
                        prop_assert!(queue.front() > front);
                        let taken = std::mem::take(&mut flight);
                        sent += taken.points;
                        model.drain(..taken.points as usize);
                    }
                    Step::Release => {
                        lost = queue.release();
                        flight = Request::default();
                    }
                }
                let gone: u64 = lost.iter().map(|(points, _)| points).sum();
                dropped += gone;
                let waiting = waiting(&queue);
                let before = model.len() as u64;
                model.retain(|time| waiting.contains(time));
                prop_assert!(model.iter().eq(&waiting), "not what waited, in order");
                prop_assert_eq!(before, model.len() as u64 + gone);
                prop_assert!(times(&flight).iter().eq(model.iter().take(flight.points as usize)), "in flight");
                let mut large = HashMap::new();
                for record in &queue.records {
                    if let Owners::One(workload) = &record.owners {
                        *large.entry(workload.clone()).or_default() += record.size();
                    }
                }
                prop_assert_eq!(&queue.large, &large);
                let usage = queue.usage();
                prop_assert_eq!(queued, sent + dropped + usage.points);
                prop_assert_eq!(usage.points, model.len() as u64);
                prop_assert_eq!(usage.records, queue.records.len());
                prop_assert_eq!(usage.bytes, queue.records.iter().map(Record::size).sum::<u64>());
                let in_flight: u64 = queue.records.iter().take(queue.in_flight).map(Record::size).sum();
                prop_assert!(usage.bytes <= LIMIT + in_flight);
                prop_assert!(flight.points > 0 || usage.bytes <= LIMIT);
            }
        }
    }

    /// Five collections wait at most of what all have together, but the flood is most of it.
    #[test]
    fn who_has_more_than_its_share_loses_its_oldest_records() {
        let (small, large) = (record(0..1, 0), record(0..1, 200));
        let owned = |name: &str, record: &Record, time: u64| Record {
            owners: match name {
                "" => Owners::Many(2),
                name => Owners::One(name.into()),
            },
            time: Timestamp::from_unix_nanos(time),
            ..record.clone()
        };
        let mut queue = Queue::new(5 * large.size());
        let (mut lost, collections) = (0, 12);
        for time in 0..collections {
            lost += queue.push(owned("", &small, time)).len();
            lost += queue.push(owned("modest", &small, time)).len();
            lost += queue.push(owned("flood", &large, time)).len();
        }
        let kept = |name: &str| {
            let of = queue
                .records
                .iter()
                .filter(|record| record.owners == owned(name, record, 0).owners);
            of.map(|record| record.time.unix_nanos()).collect::<Vec<_>>()
        };
        let all: Vec<u64> = (0..collections).collect();
        assert_eq!((kept(""), kept("modest")), (all.clone(), all));
        let flood = kept("flood");
        assert!(!flood.is_empty() && flood.len() < 5, "{flood:?}");
        assert_eq!(flood.last(), Some(&(collections - 1)), "its newest stays");
        assert_eq!(flood.len() + lost, collections as usize);
    }

    #[test]
    fn a_record_larger_than_the_bound_is_refused_and_disturbs_no_other() {
        let small = record(0..1, 0);
        let mut queue = Queue::new(small.size());
        assert_eq!(queue.push(small.clone()), []);
        assert_eq!(queue.push(record(1..3, 9)), [(2, "too_large")]);
        let all = Limits {
            bytes: 999,
            points: 9,
            records: 9,
        };
        assert_eq!(queue.take(all).bodies, [small.bytes]);
    }

    /// A record that is not what it claims goes whole, once: nothing waits for ever.
    #[test]
    fn a_record_that_cannot_be_divided_goes_whole() {
        let mut queue = Queue::new(100);
        let odd = Record {
            bytes: Bytes::from_static(b"not a message"),
            points: 5,
            time: Timestamp::from_unix_nanos(0),
            owners: Owners::default(),
        };
        assert_eq!(queue.push(odd), []);
        assert_eq!(
            queue
                .take(Limits {
                    bytes: 4,
                    points: 1,
                    records: 9
                })
                .points,
            5
        );
        queue.acknowledge();
        assert_eq!(queue.usage(), Usage::default());
    }
}
