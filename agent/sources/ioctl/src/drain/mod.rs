//! Reads what the eBPF programs counted and adds it to totals: no call is lost, none is counted twice.

mod activities;
mod activity;
mod confirmed;
mod in_flight;
mod owner;
mod record;
mod retire;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use agent_ebpf::{COUNTERS, Ident, Record, counter};

pub(super) use self::activity::{Activity, ActivityKey};
pub(super) use self::owner::{groups, is_others};
pub(super) use self::retire::OwnerState;

use self::activities::Activities;
use self::in_flight::{Exists, InFlight};
use self::record::RecordState;
use super::device_table::DeviceTable;
use super::kernel::{Counts, Losses};
use accelscope_core::host::cgroups::CgroupId;
use accelscope_core::metric::{Moment, Timestamp};

/// How long the totals of an owner that has ended are still shown: a receiver may pull rarely.
const LINGER: Duration = Duration::from_mins(5);

/// How long an owner that cannot be seen to have ended is kept without a call.
const KEEP: Duration = Duration::from_hours(1);

/// The reason of calls that were counted for [`ActivityKey::of_others`].
pub(super) const OWNER_FOLDED: &str = "owner_folded";

/// Owners with observed calls, and their totals.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// By number.
    records: HashMap<u32, RecordState>,
    activities: Activities,
    /// Records of owners without totals of their own, and of whom they are.
    crowded_out: HashMap<u32, ActivityKey>,
    folded: u64,
    in_flight: InFlight,
    counters: [u64; COUNTERS as usize],
    implausible: u64,
    drained: Option<Timestamp>,
    per_process: bool,
    ticks: u64,
}

impl Drain {
    pub(super) fn new(per_process: bool) -> Self {
        Self {
            per_process,
            ticks: rustix::param::clock_ticks_per_second(),
            ..Self::default()
        }
    }

    /// The programs count from now on.
    pub(super) fn begin(&mut self, now: Timestamp) {
        self.drained = Some(now);
    }

    /// Reads all maps. Returns whether anything has changed, ages of calls in flight included.
    ///
    /// The order makes it exact while calls go on: slots, then returns, then failures. A call that one of the readings
    /// misses and a later one sees makes a total too small for one drain, never too large.
    pub(super) fn read(
        &mut self,
        counts: &mut dyn Counts,
        devices: &DeviceTable,
        exists: &Exists<'_>,
        now: Moment,
    ) -> bool {
        let since = self.drained.unwrap_or(now.wall);
        let had_in_flight = !self.in_flight.is_empty();
        self.readmit(since, now.instant);
        self.in_flight.read(counts, exists);
        self.read_records(counts, devices, since, now);
        let mut changed = self.read_failures(counts);
        self.read_channels(counts);
        let errors_lost = counts.counters()[counter::ERROR_FULL as usize] > 0;
        for (number, record) in &mut self.records {
            let delta = record.delta(self.in_flight.of_record(*number), errors_lost);
            if let Some(activity) = self.activities.get_mut(&record.activity) {
                if delta.is_empty() {
                    record.idle += 1;
                } else {
                    record.idle = 0;
                    changed = true;
                    self.implausible += delta.implausible;
                    if self.crowded_out.contains_key(number) {
                        self.folded += delta.ended();
                    }
                    activity.add(&record.command, delta, since, now);
                }
            }
        }
        changed |= self.update_state(devices);
        let (records, crowded_out) = (&mut self.records, &mut self.crowded_out);
        counts.free_retired(&mut |number| {
            records.remove(&number);
            crowded_out.remove(&number);
        });
        self.drained = Some(now.wall);
        changed || had_in_flight
    }

    /// All totals, in no order.
    pub(super) fn activities(&self) -> impl Iterator<Item = (&ActivityKey, &Activity)> {
        self.activities.iter()
    }

    /// The process and the device's index of each call in flight.
    pub(super) fn callers(&self) -> BTreeSet<(u32, u32)> {
        self.in_flight.iter().map(|call| (call.process, call.device)).collect()
    }

    /// The control groups of those whose calls have grown in number since the drain before, single processes left out: each
    /// with its groups in the several hierarchies.
    pub(super) fn growing(&self) -> BTreeSet<Vec<CgroupId>> {
        let growing = self.records.values().filter(|record| record.idle == 0);
        let owners = growing
            .map(|record| &record.activity.owner)
            .filter(|owner| !owner.alone);
        owners
            .map(|owner| groups(owner.unified, owner.legacy).collect())
            .collect()
    }

    /// Whether no record is in use, so that no call is in flight and the next one makes a key, which is an event.
    pub(super) fn is_idle(&self) -> bool {
        self.records.is_empty()
    }

    /// Number of records in use.
    pub(super) fn records(&self) -> usize {
        self.records.len()
    }

    /// What was lost since the last call, by every reason.
    pub(super) fn losses(&mut self, counts: &dyn Counts) -> Losses {
        const REASONS: [(u32, &str); 9] = [
            (counter::KEY_FULL, "key_full"),
            (counter::SLOT_FULL, "slot_full"),
            (counter::RETURN_MISSED, "return_missed"),
            (counter::ENTRY_MISSED, "entry_missed"),
            (counter::ERROR_FULL, "error_full"),
            (counter::CHANNEL_FULL, "channel_full"),
            (counter::EVENT_LOST, "event_lost"),
            (counter::READ_FAILED, "read_failed"),
            (counter::FOLDED, "folded"),
        ];
        let now = counts.counters();
        let before = std::mem::replace(&mut self.counters, now);
        let counted = REASONS.map(|(place, reason)| {
            let place = place as usize;
            (reason, now[place].saturating_sub(before[place]))
        });
        let mut losses: Losses = counted.into();
        losses.push(("implausible", std::mem::take(&mut self.implausible)));
        losses.push((OWNER_FOLDED, std::mem::take(&mut self.folded)));
        losses.push(("thread_gone", self.in_flight.take_orphaned()));
        losses
    }

    fn read_records(&mut self, counts: &mut dyn Counts, devices: &DeviceTable, since: Timestamp, now: Moment) {
        counts.records(&mut |number, ident, value| {
            if let Some(record) = find(&mut self.records, number, ident) {
                record.now = *value;
                return;
            }
            let Some(mut record) = self.new_record(number, ident, value, devices) else {
                return;
            };
            self.crowded_out.remove(&number);
            if !self.activities.admit(&record.activity, since, now.instant) {
                let others = ActivityKey::of_others(record.activity.device);
                self.activities.admit(&others, since, now.instant);
                let wanted = std::mem::replace(&mut record.activity, others);
                self.crowded_out.insert(number, wanted);
            }
            self.records.insert(number, record);
        });
    }

    /// Gives owners totals of their own for whom there is room now: what they do from now on.
    fn readmit(&mut self, since: Timestamp, now: Instant) {
        let (activities, records) = (&mut self.activities, &mut self.records);
        self.crowded_out.retain(|number, wanted| {
            let admitted = activities.admit(wanted, since, now);
            if let Some(record) = records.get_mut(number).filter(|_| admitted) {
                record.activity = wanted.clone();
            }
            !admitted
        });
    }

    fn new_record(&self, number: u32, ident: &Ident, value: &Record, devices: &DeviceTable) -> Option<RecordState> {
        let device = devices.id(ident.key.device)?;
        let command = Some(ident.key.command).filter(|_| !ident.key.is_other_commands());
        let command = devices.command(ident.key.device, command);
        let owner = owner::of(ident, self.per_process, self.ticks);
        let activity = ActivityKey { owner, device };
        tracing::trace!(number, ?activity, command = %command.name, "new record");
        Some(RecordState::new(ident.key, activity, command, *value))
    }

    /// Failures after returns: a call that returned in between is one too few, not one too many. Returns whether a record
    /// has grown.
    fn read_failures(&mut self, counts: &mut dyn Counts) -> bool {
        let records = &mut self.records;
        if !records.values().any(RecordState::has_grown) {
            return false;
        }
        counts.records(&mut |number, ident, value| {
            if let Some(record) = find(records, number, ident) {
                record.now.failed = value.failed;
                record.now.entered = value.entered;
            }
        });
        if records.values().any(RecordState::may_have_errors) {
            counts.errors(&mut |key, count| {
                if let Some(record) = records.get_mut(&key.record) {
                    record.set_error(key.errno, count);
                }
            });
        }
        true
    }

    fn read_channels(&mut self, counts: &mut dyn Counts) {
        let records = &mut self.records;
        if records.values().any(RecordState::has_launched) {
            counts.channels(&mut |key, count| {
                if let Some(record) = records.get_mut(&key.record) {
                    record.set_channel(key.channel, count);
                }
            });
        }
    }

    /// Recounts records and calls in flight. Returns whether calls are in flight.
    fn update_state(&mut self, devices: &DeviceTable) -> bool {
        self.activities
            .iter_mut()
            .for_each(|(_, activity)| activity.begin_state());
        for record in self.records.values() {
            if let Some(activity) = self.activities.get_mut(&record.activity) {
                activity.records += 1;
            }
        }
        let mut in_flight = false;
        for call in self.in_flight.iter() {
            let key = self.records.get(&call.record).map(|record| &record.activity);
            let Some(activity) = key.and_then(|key| self.activities.get_mut(key)) else {
                continue;
            };
            if !devices.command(call.device, Some(call.command)).wait {
                activity.in_flight += 1;
                activity.oldest = activity.oldest.max(call.age);
                in_flight = true;
            }
        }
        in_flight
    }
}

/// The record with that number, if it still has the key.
fn find<'a>(records: &'a mut HashMap<u32, RecordState>, number: u32, ident: &Ident) -> Option<&'a mut RecordState> {
    records.get_mut(&number).filter(|record| record.key == ident.key)
}
