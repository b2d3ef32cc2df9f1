//! Totals of one owner's calls to one device, those of records that were freed included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_ebpf::BUCKETS;

use super::record::Delta;
use crate::device_table::{CommandInfo, DeviceId};
use accelscope_core::metric::{CgroupOwner, Histogram, Moment, Timestamp};

/// An owner and a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ActivityKey {
    pub(crate) owner: Arc<CgroupOwner>,
    pub(crate) device: DeviceId,
}

/// Totals.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) commands: BTreeMap<Arc<str>, Calls>,
    pub(crate) durations: Durations,
    /// Durations of commands with a series of their own.
    pub(crate) own_durations: BTreeMap<Arc<str>, Durations>,
    /// To the device, and from it.
    pub(crate) transfers: [u64; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) switches: u64,
    /// As of this drain.
    pub(crate) in_flight: u64,
    pub(crate) oldest: Duration,
    /// Time of the drain before the first call was seen.
    pub(crate) since: Timestamp,
    pub(super) changed: Instant,
    /// Number of records, as of this drain.
    pub(super) records: usize,
    /// When the owner was last looked up.
    pub(super) checked: Option<Instant>,
    /// By input channel, of the model that runs now.
    launches: BTreeMap<u32, u64>,
    /// Of the models before.
    earlier_frames: u64,
    switched: bool,
}

/// Calls of one command.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) succeeded: u64,
    /// By errno; 0 where it is not known.
    pub(crate) failed: BTreeMap<u32, u64>,
    pub(crate) since: Option<Timestamp>,
}

/// Durations of calls.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    buckets: [u64; BUCKETS],
    nanos: u64,
}

impl Durations {
    fn add(&mut self, delta: &Delta) {
        for (total, added) in self.buckets.iter_mut().zip(delta.buckets) {
            *total += added;
        }
        self.nanos = self.nanos.saturating_add(delta.duration);
    }

    /// None before the first call has returned.
    pub(crate) fn histogram(&self) -> Option<Histogram> {
        let count = self.buckets.iter().sum();
        (count > 0).then(|| Histogram {
            count,
            sum: self.nanos as f64 / 1e9,
            buckets: self.buckets.into(),
        })
    }
}

impl Activity {
    pub(super) fn new(since: Timestamp, now: Instant) -> Self {
        Self {
            commands: BTreeMap::new(),
            durations: Durations::default(),
            own_durations: BTreeMap::new(),
            transfers: [0; 2],
            bytes: [0; 2],
            switches: 0,
            in_flight: 0,
            oldest: Duration::ZERO,
            since,
            changed: now,
            records: 0,
            checked: None,
            launches: BTreeMap::new(),
            earlier_frames: 0,
            switched: false,
        }
    }

    /// Frames submitted: a frame is one launch on each input channel of a model, so that the launches on its busiest input
    /// channel are its frames.
    pub(crate) fn frames(&self) -> u64 {
        self.earlier_frames + self.launches.values().copied().max().unwrap_or_default()
    }

    pub(super) fn add(&mut self, command: &CommandInfo, delta: Delta, since: Timestamp, now: Moment) {
        self.changed = now.instant;
        let calls = self.commands.entry(Arc::clone(&command.name)).or_default();
        calls.since.get_or_insert(since);
        calls.succeeded += delta.succeeded;
        for (errno, count) in &delta.failed {
            *calls.failed.entry(*errno).or_default() += count;
        }
        if command.own_duration {
            let own = self.own_durations.entry(Arc::clone(&command.name)).or_default();
            own.add(&delta);
        } else if !command.wait {
            self.durations.add(&delta);
        }
        for at in 0..2 {
            self.transfers[at] += delta.transfers[at];
            self.bytes[at] += delta.bytes[at];
        }
        self.switches += delta.switches;
        self.switched |= delta.switches > 0;
        let inputs = command.input_channels.unwrap_or_default();
        for (channel, count) in delta.launches {
            // The lower half is the channel, the upper one its engine.
            if channel & 0xffff < inputs {
                *self.launches.entry(channel).or_default() += count;
            }
        }
    }

    /// Begins the state of this drain, after all deltas were added. With another model other channels may be the busiest,
    /// so that their launches count from zero.
    pub(super) fn begin_state(&mut self) {
        (self.in_flight, self.oldest, self.records) = (0, Duration::ZERO, 0);
        if std::mem::take(&mut self.switched) {
            self.earlier_frames = self.frames();
            self.launches.clear();
        }
    }
}
