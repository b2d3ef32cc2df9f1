//! What the programs counted, turned into growth: no call lost, none counted twice.

mod flights;
mod late;
mod owner;
mod record;
mod retire;
mod subject;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_ebpf::{COUNTERS, Ident, OTHER_COMMAND, Record, counter};

pub(super) use self::flights::Threads;
pub(super) use self::owner::{OTHER, ROOT};
pub(super) use self::retire::Fate;
pub(super) use self::subject::{Distribution, Subject, SubjectKey};

use self::flights::Flights;
use self::record::Seen;
use super::kernel::Kernel;
use super::places::Places;
use accelscope_core::metric::{ProcessKey, Timestamp};

/// How long what has ended is still shown, so that whoever pulls once in a while sees its last values.
const LINGER: Duration = Duration::from_mins(5);

/// How long what cannot be seen to have ended is kept without activity.
const KEEP: Duration = Duration::from_hours(1);

/// Most subjects that are kept; beyond, those go first that did something longest ago.
const MAX_SUBJECTS: usize = 8192;

/// What was counted and is not a call: reasons and how often since the last drain.
pub(super) type Losses = Vec<(&'static str, u64)>;

/// Whose calls were seen, and what they did.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// By the number of the record.
    seen: HashMap<u32, Seen>,
    subjects: HashMap<SubjectKey, Subject>,
    flights: Flights,
    counters: [u64; COUNTERS as usize],
    implausible: u64,
    drained: Option<(Instant, Timestamp)>,
    per_process: bool,
    ticks: u64,
}

/// A moment by all clocks that are needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            instant: Instant::now(),
            wall: Timestamp::now(),
        }
    }
}

impl Drain {
    pub(super) fn new(per_process: bool) -> Self {
        Self {
            per_process,
            ticks: rustix::param::clock_ticks_per_second(),
            ..Self::default()
        }
    }

    /// From now on calls are counted.
    pub(super) fn begin(&mut self, now: Moment) {
        self.drained.get_or_insert((now.instant, now.wall));
    }

    /// Reads everything. Whether anything is other than before, calls in flight included.
    ///
    /// The order is what makes it exact while calls go on: slots, then returns, then failures. A call that a later reading
    /// sees and an earlier one did not makes a total too small for one drain, never too large.
    pub(super) fn read(
        &mut self,
        kernel: &mut dyn Kernel,
        places: &Places,
        threads: &dyn Threads,
        now: Moment,
    ) -> bool {
        let begun = self.drained.map_or(now.wall, |(_, wall)| wall);
        let had_flights = !self.flights.is_empty();
        self.flights.read(kernel, threads);
        self.read_records(kernel, places, begun, now);
        let mut changed = self.read_failures(kernel);
        self.read_channels(kernel);
        for (number, seen) in &mut self.seen {
            let in_flight = self.flights.of_record(*number);
            let grown = seen.grow(in_flight);
            if let Some(subject) = self.subjects.get_mut(&seen.subject) {
                if grown.is_nothing() {
                    seen.idle += 1;
                } else {
                    seen.idle = 0;
                    changed = true;
                    self.implausible += grown.implausible;
                    subject.add(&seen.command, grown, begun, now);
                }
            }
        }
        changed |= self.settle(places, now);
        self.free(kernel);
        self.drained = Some((now.instant, now.wall));
        changed || had_flights
    }

    /// Everything that did something, in no order.
    pub(super) fn subjects(&self) -> impl Iterator<Item = (&SubjectKey, &Subject)> {
        self.subjects.iter()
    }

    /// Whether every call to come makes a key, and with it an event: no record is in use, so that no call is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.seen.is_empty()
    }

    /// How many records there are.
    pub(super) fn records(&self) -> usize {
        self.seen.len()
    }

    /// What was lost since the last call.
    pub(super) fn losses(&mut self, kernel: &dyn Kernel) -> Losses {
        let now = kernel.counters();
        let reasons = [
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
        let mut losses: Losses = Vec::new();
        for (place, reason) in reasons {
            let place = place as usize;
            losses.push((reason, now[place].saturating_sub(self.counters[place])));
        }
        self.counters = now;
        losses.push(("implausible", std::mem::take(&mut self.implausible)));
        losses.push(("thread_gone", self.flights.take_gone()));
        losses.retain(|(_, count)| *count > 0);
        losses
    }

    fn read_records(&mut self, kernel: &mut dyn Kernel, places: &Places, begun: Timestamp, now: Moment) {
        let Self {
            seen,
            subjects,
            per_process,
            ticks,
            ..
        } = self;
        kernel.records(&mut |number, ident, record| {
            let known = seen.get_mut(&number).filter(|seen| seen.key == ident.key);
            if let Some(known) = known {
                known.now = *record;
                return;
            }
            let Some(new) = make(number, ident, record, places, *per_process, *ticks) else {
                return;
            };
            if !subjects.contains_key(&new.subject) {
                make_room(subjects);
                subjects.insert(new.subject.clone(), Subject::new(begun, now.instant));
            }
            seen.insert(number, new);
        });
    }

    /// Failures after returns: a call that returned in between is one too few, not one too many. Whether a record grew.
    fn read_failures(&mut self, kernel: &mut dyn Kernel) -> bool {
        let seen = &mut self.seen;
        if !seen.values().any(Seen::has_grown) {
            return false;
        }
        kernel.records(&mut |number, ident, record| {
            if let Some(seen) = seen.get_mut(&number).filter(|seen| seen.key == ident.key) {
                seen.now.failed = record.failed;
                seen.now.entered = record.entered;
            }
        });
        if seen.values().any(Seen::may_have_errors) {
            let full = kernel.counters()[counter::ERROR_FULL as usize] > 0;
            for seen in seen.values_mut() {
                seen.errors_may_lack = full;
            }
            kernel.errors(&mut |key, count| {
                if let Some(seen) = seen.get_mut(&key.record) {
                    seen.error(key.errno, count);
                }
            });
        }
        true
    }

    fn read_channels(&mut self, kernel: &mut dyn Kernel) {
        let seen = &mut self.seen;
        if seen.values().any(Seen::has_launched) {
            kernel.channels(&mut |key, count| {
                if let Some(seen) = seen.get_mut(&key.record) {
                    seen.channel(key.channel, count);
                }
            });
        }
    }

    /// What is now so, whatever was before. Whether calls are in flight.
    fn settle(&mut self, places: &Places, now: Moment) -> bool {
        for subject in self.subjects.values_mut() {
            subject.settle(now.instant);
        }
        for seen in self.seen.values() {
            if let Some(subject) = self.subjects.get_mut(&seen.subject) {
                subject.records += 1;
            }
        }
        let mut in_flight = false;
        for flight in self.flights.iter() {
            let subject = self.seen.get(&flight.record).map(|seen| &seen.subject);
            let waits = || places.command(flight.device, flight.command).wait;
            if let Some(subject) = subject.and_then(|key| self.subjects.get_mut(key)).filter(|_| !waits()) {
                subject.in_flight += 1;
                subject.oldest = subject.oldest.max(flight.age);
                in_flight = true;
            }
        }
        in_flight
    }

    fn free(&mut self, kernel: &mut dyn Kernel) {
        let seen = &mut self.seen;
        kernel.settle(&mut |number| drop(seen.remove(&number)));
    }
}

fn make(number: u32, ident: &Ident, record: &Record, places: &Places, per_process: bool, ticks: u64) -> Option<Seen> {
    let label = places.label(ident.key.device)?;
    let command = places.command(ident.key.device, ident.key.command);
    let owner = owner::of(ident, per_process, ticks);
    let subject = SubjectKey { owner, label };
    tracing::trace!(number, ?subject, command = %command.name, "a record begins");
    Some(Seen::new(ident.key, subject, command, *record))
}

fn make_room(subjects: &mut HashMap<SubjectKey, Subject>) {
    if subjects.len() < MAX_SUBJECTS {
        return;
    }
    let idle = subjects.iter().filter(|(_, subject)| subject.records == 0);
    let oldest = idle
        .min_by_key(|(_, subject)| subject.changed)
        .map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        subjects.remove(&oldest);
    }
}

/// The process that made a record's key, where that is known.
pub(super) fn process_of(ident: &Ident, ticks: u64) -> Option<ProcessKey> {
    let tick = 1_000_000_000_u64.checked_div(ticks)?;
    (ident.started != 0 && tick != 0).then(|| ProcessKey {
        pid: ident.pid,
        start_ticks: ident.started / tick,
    })
}

/// Whether a command stands for many.
pub(super) const fn is_fold(command: u32) -> bool {
    command == OTHER_COMMAND
}

/// Shared text.
pub(super) type Name = Arc<str>;
