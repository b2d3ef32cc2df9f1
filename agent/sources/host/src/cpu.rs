//! CPU time of the whole machine by mode: the first line of `/proc/stat`.

use std::sync::Arc;
use std::time::Instant;

use crate::catalogue::{CPU_TIME, CPU_UTILIZATION};
use crate::kept::Kept;
use crate::key::CPU_MODE;
use crate::parse::{whole, words};
use crate::readings::{Readings, Reason};
use crate::total::{Step, Total};
use accelscope_core::host::HostRoots;
use accelscope_core::metric::{Attributes, Timestamp};

/// The conventions' modes. Time of guests is contained in `user` and `nice` (`account_guest_time`, kernel/sched/cputime.c).
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];
/// Fields that every kernel has: user, nice, system, idle.
const LEAST_FIELDS: usize = 4;
/// Bytes that are read: the line has ten numbers of at most 20 digits. A shorter reading costs the kernel the same, since it
/// makes the whole file each time (`show_stat`, fs/proc/stat.c).
const LINE: usize = 256;
/// Ticks beyond which a time is none: a century of the largest machine.
const MOST: u64 = 100 * 366 * 86_400 * 100 * 8192;

/// Times by mode in ticks; `None` for those that the kernel does not have.
type Times = [Option<u64>; MODES.len()];

/// The times, and how they changed.
#[derive(Debug)]
pub(crate) struct Cpu {
    file: Kept,
    modes: [Arc<Attributes>; MODES.len()],
    totals: [Total; MODES.len()],
    last: Option<(Instant, Times)>,
    ticks_per_second: u64,
}

impl Cpu {
    pub(crate) fn new(roots: &HostRoots) -> Self {
        Self {
            file: Kept::new(roots.proc().join("stat")),
            modes: MODES.map(|mode| Arc::new(Attributes::new([(CPU_MODE, mode.into())]))),
            totals: Default::default(),
            last: None,
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
        }
    }

    /// Reads the times of so many CPUs; there is a utilization from the second reading on.
    pub(crate) fn read(&mut self, cpus: Option<u64>, now: Instant, out: &mut Readings<'_>) {
        let mut buffer = [0; LINE];
        let time = Timestamp::now();
        let raw = match self.file.read(&mut buffer) {
            Ok(text) => times(text),
            Err(error) => return out.failed(error),
        };
        // The next one is compared with the last that was read.
        let Some(raw) = raw else {
            return out.skip(Reason::Malformed);
        };
        let most = self.most(cpus, now);
        let (mut totals, mut is_known): (Times, bool) = (Default::default(), true);
        for (mode, raw) in raw.iter().enumerate() {
            let Some(raw) = *raw else { continue };
            if raw > MOST {
                out.skip(Reason::OutOfRange);
                is_known = false;
                continue;
            }
            let (total, step) = self.totals[mode].advance(raw, most);
            match step {
                Step::Forward => {}
                Step::Waits | Step::Fell => out.skip(Reason::Decreased),
                Step::Leapt => out.skip(Reason::OutOfRange),
            }
            is_known &= matches!(step, Step::Forward | Step::Waits);
            totals[mode] = Some(total);
            let seconds = total as f64 / self.ticks_per_second as f64;
            let point = out.counter(&CPU_TIME, &self.modes[mode], seconds, time);
            out.push(point);
        }
        let before = self.last.replace((now, totals));
        if let Some((_, before)) = before.filter(|_| is_known) {
            self.utilization(&before, &totals, time, out);
        }
    }

    /// Ticks by which a mode can have grown since the last reading, twice as many as there were: clocks and caches differ.
    fn most(&self, cpus: Option<u64>, now: Instant) -> u64 {
        let (Some(cpus), Some((last, _))) = (cpus, &self.last) else {
            return u64::MAX;
        };
        let seconds = now.saturating_duration_since(*last).as_secs() + 1;
        let possible = cpus.max(1).saturating_mul(self.ticks_per_second);
        possible.saturating_mul(2 * seconds)
    }

    fn utilization(&self, before: &Times, now: &Times, time: Timestamp, out: &mut Readings<'_>) {
        let mut grown = [None; MODES.len()];
        for (mode, grown) in grown.iter_mut().enumerate() {
            *grown = now[mode].zip(before[mode]).map(|(now, before)| now - before);
        }
        let all: u64 = grown.iter().flatten().sum();
        if all == 0 {
            return out.skip(Reason::Frozen);
        }
        for (mode, grown) in grown.iter().enumerate() {
            if let Some(grown) = grown {
                out.gauge(&CPU_UTILIZATION, &self.modes[mode], *grown as f64 / all as f64, time);
            }
        }
    }
}

/// The times in the line `cpu`, which is the first one.
fn times(text: &[u8]) -> Option<Times> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let mut words = words(&text[..end]);
    if words.next()? != b"cpu" {
        return None;
    }
    // user, nice, system, idle, iowait, irq, softirq, steal; the rest is contained in the first two.
    let mut fields = [None; 8];
    for (field, word) in fields.iter_mut().zip(words) {
        *field = Some(whole(word)?);
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
    fields[LEAST_FIELDS - 1]?;
    let interrupt = irq.and_then(|irq| irq.checked_add(softirq.unwrap_or_default()));
    Some([user, nice, system, idle, iowait, interrupt, steal])
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
