//! What somebody did with a device, all that is gone included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_ebpf::BUCKETS;

use super::record::Growth;
use super::{Moment, Name};
use crate::places::{CommandInfo, Label};
use accelscope_core::metric::{CgroupOwner, Histogram, Timestamp};

/// Somebody and a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SubjectKey {
    pub(crate) owner: Arc<CgroupOwner>,
    pub(crate) label: Label,
}

/// Totals.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) commands: BTreeMap<Name, Calls>,
    pub(crate) durations: Distribution,
    /// Of commands that have a series of their own.
    pub(crate) own_durations: BTreeMap<Name, Distribution>,
    pub(crate) transfers: [u64; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) switches: u64,
    pub(crate) frames: u64,
    pub(crate) in_flight: u64,
    pub(crate) oldest: Duration,
    /// When its first calls were seen: the drain before, when there were none.
    pub(crate) since: Timestamp,
    pub(super) changed: Instant,
    pub(super) records: usize,
    pub(super) looked: Option<Instant>,
    /// Drains without growth.
    pub(super) idle: u32,
    launches: BTreeMap<u32, u64>,
    /// Frames of models before the one that runs now.
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
pub(crate) struct Distribution {
    buckets: [u64; BUCKETS],
    nanos: u64,
    shown: Option<Arc<Histogram>>,
}

impl Distribution {
    fn add(&mut self, growth: &Growth) {
        if growth.buckets.iter().all(|count| *count == 0) {
            return;
        }
        for (mine, grown) in self.buckets.iter_mut().zip(growth.buckets) {
            *mine += grown;
        }
        self.nanos = self.nanos.saturating_add(growth.duration);
        self.shown = Some(Arc::new(Histogram {
            count: self.buckets.iter().sum(),
            sum: self.nanos as f64 / 1e9,
            buckets: self.buckets.into(),
        }));
    }

    /// None before the first call.
    pub(crate) fn shown(&self) -> Option<&Arc<Histogram>> {
        self.shown.as_ref()
    }
}

impl Subject {
    pub(super) fn new(since: Timestamp, now: Instant) -> Self {
        Self {
            commands: BTreeMap::new(),
            durations: Distribution::default(),
            own_durations: BTreeMap::new(),
            transfers: [0; 2],
            bytes: [0; 2],
            switches: 0,
            frames: 0,
            in_flight: 0,
            oldest: Duration::ZERO,
            since,
            changed: now,
            records: 0,
            looked: None,
            idle: 0,
            launches: BTreeMap::new(),
            earlier_frames: 0,
            switched: false,
        }
    }

    pub(super) fn add(&mut self, command: &CommandInfo, growth: Growth, begun: Timestamp, now: Moment) {
        self.changed = now.instant;
        if !self.commands.contains_key(&command.name) {
            self.commands.insert(command.name.clone(), Calls::default());
        }
        if let Some(calls) = self.commands.get_mut(&command.name) {
            calls.since.get_or_insert(begun);
            calls.succeeded += growth.succeeded;
            for (errno, count) in &growth.failed {
                *calls.failed.entry(*errno).or_default() += count;
            }
        }
        if command.own_series {
            self.own_durations.entry(command.name.clone()).or_default().add(&growth);
        } else if !command.wait {
            self.durations.add(&growth);
        }
        for at in 0..2 {
            self.transfers[at] += growth.transfers[at];
            self.bytes[at] += growth.bytes[at];
        }
        self.switches += growth.switches;
        self.switched |= growth.switches > 0;
        if command.frames {
            for (channel, count) in growth.launches {
                // The lower half is the channel, the upper one its engine.
                if channel & 0xffff < command.inputs {
                    *self.launches.entry(channel).or_default() += count;
                }
            }
        }
    }

    /// Ends a drain's growth; what is so at the moment is counted anew.
    pub(super) fn settle(&mut self, now: Instant) {
        self.idle = if self.changed == now { 0 } else { self.idle + 1 };
        (self.in_flight, self.oldest, self.records) = (0, Duration::ZERO, 0);
        self.settle_frames();
    }

    /// A frame is one launch on each input channel of a model, so that the busiest one's launches are the frames. With
    /// another model other channels may be the busy ones, and counting begins anew.
    fn settle_frames(&mut self) {
        let running = self.launches.values().copied().max().unwrap_or_default();
        self.frames = self.earlier_frames + running;
        if std::mem::take(&mut self.switched) {
            self.earlier_frames = self.frames;
            self.launches.clear();
        }
    }
}
