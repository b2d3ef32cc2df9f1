//! One record of the programs, and what it grew by.

use std::sync::Arc;

use agent_ebpf::{BUCKETS, Key, Record};

use super::late::Late;
use super::subject::SubjectKey;
use crate::places::CommandInfo;

/// Most errnos of one record that are told apart; the kernel has some 140.
const MAX_ERRNOS: usize = 512;
/// Most channels of one record: 3 engines with 40 channels each.
const MAX_CHANNELS: usize = 256;

/// A record as it was and is.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) subject: SubjectKey,
    pub(super) command: Arc<CommandInfo>,
    pub(super) now: Record,
    /// Drains without growth.
    pub(super) idle: u32,
    pub(super) retired: bool,
    /// Failed calls without an errno are possible.
    pub(super) errors_may_lack: bool,
    before: Record,
    /// Calls that were handed on as having succeeded.
    succeeded: u64,
    missed: Late,
    in_flight: u64,
    errors: Vec<Tally>,
    unnamed_errors: Late,
    handed_unnamed: u64,
    channels: Vec<Tally>,
}

/// A count by a number, and how much of it was handed on.
#[derive(Debug, Clone, Copy)]
struct Tally {
    of: u32,
    now: u64,
    handed: u64,
}

/// What was added since the last drain.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Calls that returned without error, and those whose return was missed.
    pub(super) succeeded: u64,
    /// Failed calls by errno; 0 where it is not known.
    pub(super) failed: Vec<(u32, u64)>,
    pub(super) duration: u64,
    pub(super) buckets: [u64; BUCKETS],
    pub(super) transfers: [u64; 2],
    pub(super) bytes: [u64; 2],
    pub(super) switches: u64,
    pub(super) implausible: u64,
    pub(super) launches: Vec<(u32, u64)>,
    /// Only that calls have begun.
    entered: u64,
}

impl Growth {
    pub(super) fn is_nothing(&self) -> bool {
        self.entered == 0
            && self.succeeded == 0
            && self.failed.is_empty()
            && self.buckets.iter().all(|count| *count == 0)
            && self.launches.is_empty()
    }
}

impl Seen {
    pub(super) fn new(key: Key, subject: SubjectKey, command: Arc<CommandInfo>, now: Record) -> Self {
        Self {
            key,
            subject,
            command,
            now,
            idle: 0,
            retired: false,
            errors_may_lack: false,
            before: Record::default(),
            succeeded: 0,
            missed: Late::default(),
            in_flight: 0,
            errors: Vec::new(),
            unnamed_errors: Late::default(),
            handed_unnamed: 0,
            channels: Vec::new(),
        }
    }

    pub(super) fn has_grown(&self) -> bool {
        let (now, before) = (&self.now, &self.before);
        now.entered != before.entered || now.buckets != before.buckets || now.failed != before.failed
    }

    pub(super) fn may_have_errors(&self) -> bool {
        self.now.failed > self.errors.iter().map(|error| error.handed).sum::<u64>() + self.handed_unnamed
    }

    pub(super) fn has_launched(&self) -> bool {
        self.now.transfers != self.before.transfers || self.now.bytes != self.before.bytes
    }

    pub(super) fn error(&mut self, errno: u32, count: u64) {
        tally(&mut self.errors, errno, count, MAX_ERRNOS);
    }

    pub(super) fn channel(&mut self, channel: u32, count: u64) {
        tally(&mut self.channels, channel, count, MAX_CHANNELS);
    }

    /// What was added since the last call, with so many calls in flight that were there at the last one.
    ///
    /// A call has returned, or is in flight, or its return was missed; what returned has failed or not. The last two are
    /// known only once the programs had the time to count them.
    pub(super) fn grow(&mut self, in_flight: u64) -> Growth {
        let returned: u64 = self.now.buckets.iter().sum();
        let still = !self.has_grown() && in_flight == self.in_flight;
        self.in_flight = in_flight;
        let missed = self.before.entered.saturating_sub(returned + in_flight);
        let missed = self.missed.read(missed, still);
        let limit = self.now.entered.saturating_sub(self.now.failed);
        let succeeded = (returned + missed)
            .saturating_sub(self.now.failed)
            .min(limit)
            .max(self.succeeded);
        let (now, before) = (&self.now, &self.before);
        let pair = |now: [u64; 2], before: [u64; 2]| [0, 1].map(|at| u64::saturating_sub(now[at], before[at]));
        let mut growth = Growth {
            succeeded: succeeded - self.succeeded,
            failed: hand(&mut self.errors),
            duration: now.duration.saturating_sub(before.duration),
            buckets: std::array::from_fn(|at| now.buckets[at].saturating_sub(before.buckets[at])),
            transfers: pair(now.transfers, before.transfers),
            bytes: pair(now.bytes, before.bytes),
            switches: now.switches.saturating_sub(before.switches),
            implausible: now.implausible.saturating_sub(before.implausible),
            launches: hand(&mut self.channels),
            entered: now.entered.saturating_sub(before.entered),
        };
        if self.errors_may_lack {
            let named: u64 = self.errors.iter().map(|error| error.handed).sum();
            let unnamed = self.unnamed_errors.read(now.failed.saturating_sub(named), still);
            if unnamed > self.handed_unnamed {
                growth.failed.push((0, unnamed - self.handed_unnamed));
                self.handed_unnamed = unnamed;
            }
        }
        self.succeeded = succeeded;
        self.before = self.now;
        growth
    }
}

fn tally(tallies: &mut Vec<Tally>, of: u32, now: u64, most: usize) {
    if let Some(tally) = tallies.iter_mut().find(|tally| tally.of == of) {
        tally.now = tally.now.max(now);
    } else if tallies.len() < most {
        tallies.push(Tally { of, now, handed: 0 });
    }
}

fn hand(tallies: &mut [Tally]) -> Vec<(u32, u64)> {
    let grown = tallies.iter_mut().filter(|tally| tally.now > tally.handed);
    grown
        .map(|tally| (tally.of, tally.now - std::mem::replace(&mut tally.handed, tally.now)))
        .collect()
}
