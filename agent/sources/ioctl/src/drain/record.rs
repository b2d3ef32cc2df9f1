//! One record of the eBPF programs, and its growth between two drains.

use std::sync::Arc;

use agent_ebpf::{BUCKETS, Key, Record};

use super::activity::ActivityKey;
use super::confirmed::Confirmed;
use crate::device_table::CommandInfo;

/// Most errnos of one record; the kernel has some 140.
const MAX_ERRNOS: usize = 512;
/// Most channels of one record: 3 engines with 40 channels each.
const MAX_CHANNELS: usize = 256;

/// A record as of this drain and the one before.
#[derive(Debug)]
pub(super) struct RecordState {
    pub(super) key: Key,
    pub(super) activity: ActivityKey,
    pub(super) command: Arc<CommandInfo>,
    pub(super) now: Record,
    /// Drains without growth.
    pub(super) idle: u32,
    pub(super) retired: bool,
    before: Record,
    /// Calls that were reported as having succeeded.
    succeeded: u64,
    in_flight: u64,
    errors: Vec<Count>,
    unnamed_errors: Confirmed,
    channels: Vec<Count>,
}

/// A cumulative count with a number (an errno, a channel) as its key.
#[derive(Debug, Clone, Copy)]
struct Count {
    key: u32,
    now: u64,
    before: u64,
}

/// What was added since the last drain.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Calls that returned without error.
    pub(super) succeeded: u64,
    /// Failed calls by errno; 0 where it is not known.
    pub(super) failed: Vec<(u32, u64)>,
    /// Sum of the durations, ns.
    pub(super) duration: u64,
    pub(super) buckets: [u64; BUCKETS],
    pub(super) transfers: [u64; 2],
    pub(super) bytes: [u64; 2],
    pub(super) switches: u64,
    pub(super) implausible: u64,
    /// Launches by channel.
    pub(super) launches: Vec<(u32, u64)>,
    entered: u64,
}

impl Delta {
    /// Number of calls that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.succeeded + self.failed.iter().map(|(_, count)| count).sum::<u64>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entered == 0
            && self.succeeded == 0
            && self.failed.is_empty()
            && self.buckets.iter().all(|count| *count == 0)
            && self.launches.is_empty()
    }
}

impl RecordState {
    pub(super) fn new(key: Key, activity: ActivityKey, command: Arc<CommandInfo>, now: Record) -> Self {
        Self {
            key,
            activity,
            command,
            now,
            idle: 0,
            retired: false,
            before: Record::default(),
            succeeded: 0,
            in_flight: 0,
            errors: Vec::new(),
            unnamed_errors: Confirmed::default(),
            channels: Vec::new(),
        }
    }

    pub(super) fn has_grown(&self) -> bool {
        let (now, before) = (&self.now, &self.before);
        now.entered != before.entered || now.buckets != before.buckets || now.failed != before.failed
    }

    /// Whether there are failed calls with an errno that was not reported yet.
    pub(super) fn may_have_errors(&self) -> bool {
        let reported: u64 = self.errors.iter().map(|error| error.before).sum();
        self.now.failed > reported + self.unnamed_errors.value()
    }

    pub(super) fn has_launched(&self) -> bool {
        self.now.transfers != self.before.transfers || self.now.bytes != self.before.bytes
    }

    pub(super) fn set_error(&mut self, errno: u32, count: u64) {
        set(&mut self.errors, errno, count, MAX_ERRNOS);
    }

    pub(super) fn set_channel(&mut self, channel: u32, count: u64) {
        set(&mut self.channels, channel, count, MAX_CHANNELS);
    }

    /// What was added since the last call. `in_flight` calls were in flight at the drain before and still are;
    /// `errors_lost` if the map of errors has been full, so that failed calls may lack an errno.
    ///
    /// A call has returned, or is in flight, or its end is not known, which [`Drain::losses`](super::Drain::losses) counts:
    /// that one is neither a success nor a failure.
    pub(super) fn delta(&mut self, in_flight: u64, errors_lost: bool) -> Delta {
        let returned: u64 = self.now.buckets.iter().sum();
        let still = !self.has_grown() && in_flight == self.in_flight;
        self.in_flight = in_flight;
        let (now, before) = (&self.now, &self.before);
        let succeeded = returned.saturating_sub(now.failed).max(self.succeeded);
        let pair = |now: [u64; 2], before: [u64; 2]| [0, 1].map(|at| u64::saturating_sub(now[at], before[at]));
        let mut delta = Delta {
            succeeded: succeeded - std::mem::replace(&mut self.succeeded, succeeded),
            failed: take_deltas(&mut self.errors),
            duration: now.duration.saturating_sub(before.duration),
            buckets: std::array::from_fn(|at| now.buckets[at].saturating_sub(before.buckets[at])),
            transfers: pair(now.transfers, before.transfers),
            bytes: pair(now.bytes, before.bytes),
            switches: now.switches.saturating_sub(before.switches),
            implausible: now.implausible.saturating_sub(before.implausible),
            launches: take_deltas(&mut self.channels),
            entered: now.entered.saturating_sub(before.entered),
        };
        if errors_lost {
            let named: u64 = self.errors.iter().map(|error| error.before).sum();
            let unnamed = self.unnamed_errors.read(now.failed.saturating_sub(named), still);
            delta.failed.extend((unnamed > 0).then_some((0, unnamed)));
        }
        self.before = self.now;
        delta
    }
}

fn set(counts: &mut Vec<Count>, key: u32, now: u64, most: usize) {
    if let Some(count) = counts.iter_mut().find(|count| count.key == key) {
        count.now = count.now.max(now);
    } else if counts.len() < most {
        counts.push(Count { key, now, before: 0 });
    }
}

fn take_deltas(counts: &mut [Count]) -> Vec<(u32, u64)> {
    let grown = counts.iter_mut().filter(|count| count.now > count.before);
    grown
        .map(|count| (count.key, count.now - std::mem::replace(&mut count.before, count.now)))
        .collect()
}
