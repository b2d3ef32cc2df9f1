//! How busy each process kept a GPU, from the driver's samples.

use std::collections::HashMap;

use crate::nvml::ProcessSample;

/// How far back the first reading looks, in microseconds: the driver's buffer holds far more, all of it stale.
const FIRST: u64 = 2_000_000;
/// A sample from further in the future than this shows that a clock was set back.
const SKEW: u64 = 5_000_000;
/// Limit in microseconds of the time that a sample covers: the driver's sampling period is 1/6 to 1 s (nvml.h 13.5).
const PERIOD: u64 = 1_000_000;

/// Utilization samples of one GPU, from reading to reading. The times are those of the host's CPU in microseconds.
#[derive(Debug, Default)]
pub(super) struct Busy {
    /// Newest sample of any process: only newer ones are requested.
    seen: Option<u64>,
    /// The same by process: samples of different processes have different times.
    by_pid: HashMap<u32, u64>,
}

/// What is known of one process since the reading before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Share {
    /// Shares of time, at most 1: multiprocessors, memory, encoder, decoder.
    Known([f64; 4]),
    /// The driver's numbers were none.
    Garbage,
}

impl Busy {
    /// Time from which samples are requested.
    pub(super) fn since(&mut self, now: u64) -> u64 {
        if self.seen.is_some_and(|seen| seen > now + SKEW) {
            *self = Self::default();
        }
        self.seen.unwrap_or(now.saturating_sub(FIRST))
    }

    /// By process, those without a new sample left out: they were idle. Each sample counts for the time since the one
    /// before it, a sampling period at most.
    pub(super) fn take(&mut self, samples: &[ProcessSample], now: u64) -> HashMap<u32, Share> {
        let since = self.since(now);
        let mut of: HashMap<u32, Vec<&ProcessSample>> = HashMap::new();
        for sample in samples {
            let last = self.by_pid.get(&sample.pid).copied().unwrap_or(since);
            if sample.time > last && sample.time <= now + SKEW {
                of.entry(sample.pid).or_default().push(sample);
            }
        }
        let mut shares = HashMap::with_capacity(of.len());
        for (pid, mut samples) in of {
            samples.sort_by_key(|sample| sample.time);
            let before = self.by_pid.get(&pid).copied().unwrap_or(0).max(since);
            shares.insert(pid, share(&samples, before));
            let newest = samples.last().map_or(before, |sample| sample.time);
            self.by_pid.insert(pid, newest);
            self.seen = self.seen.max(Some(newest));
        }
        // Where nothing ran, the next reading need not look further back than this one.
        self.seen = self.seen.max(Some(since));
        shares
    }

    /// Forgets processes that have ended.
    pub(super) fn keep(&mut self, is_there: impl Fn(u32) -> bool) {
        // One that ended may still be in the driver's buffer: what is older than the newest sample is not asked for.
        self.by_pid.retain(|pid, _| is_there(*pid));
    }
}

fn share(samples: &[&ProcessSample], mut before: u64) -> Share {
    let (mut weighed, mut weight) = ([0.0; 4], 0.0);
    for sample in samples {
        let time = sample.time.saturating_sub(before).clamp(1, PERIOD) as f64;
        before = sample.time;
        // Contexts of processes that crashed leave entries of any number.
        if sample.percent.iter().any(|percent| *percent > 100) {
            continue;
        }
        weight += time;
        for (sum, percent) in weighed.iter_mut().zip(sample.percent) {
            *sum += f64::from(percent) * time;
        }
    }
    if weight == 0.0 {
        return Share::Garbage;
    }
    Share::Known(weighed.map(|sum| (sum / weight / 100.0).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn sample(pid: u32, time: u64, sm: u32) -> ProcessSample {
        ProcessSample {
            pid,
            time,
            percent: [sm, 0, 0, 0],
        }
    }

    fn sm(shares: &HashMap<u32, Share>, pid: u32) -> Option<f64> {
        match shares.get(&pid)? {
            Share::Known([sm, ..]) => Some(*sm),
            Share::Garbage => Some(-1.0),
        }
    }

    #[test]
    fn an_old_sample_does_not_come_back() {
        let mut busy = Busy::default();
        assert_eq!(busy.since(NOW), NOW - FIRST);
        let first = busy.take(&[sample(1, NOW - 50, 80), sample(2, NOW - 900, 40)], NOW);
        assert_eq!((sm(&first, 1), sm(&first, 2)), (Some(0.8), Some(0.4)));
        let later = NOW + 1_000_000;
        assert_eq!(busy.since(later), NOW - 50);
        // A library that ignores `since` returns all samples again.
        let second = busy.take(
            &[
                sample(1, NOW - 50, 80),
                sample(2, NOW - 900, 40),
                sample(2, NOW + 7, 10),
            ],
            later,
        );
        assert_eq!((sm(&second, 1), sm(&second, 2)), (None, Some(0.1)));
    }

    #[test]
    fn samples_weigh_as_much_as_the_time_between_them() {
        let mut busy = Busy::default();
        busy.take(&[sample(1, NOW, 1)], NOW);
        // 3/4 of the time at 100, 1/4 at 20, given in any order.
        let samples = [sample(1, NOW + 400, 20), sample(1, NOW + 300, 100)];
        assert_eq!(sm(&busy.take(&samples, NOW + 500), 1), Some(0.8));
        // The first sample after a long pause does not cover the pause.
        let later = NOW + 3_600_000_000;
        let samples = [sample(1, later, 100), sample(1, later + PERIOD, 0)];
        assert_eq!(sm(&busy.take(&samples, later + PERIOD), 1), Some(0.5));
    }

    #[test]
    fn garbage_is_neither_a_value_nor_idleness() {
        let mut busy = Busy::default();
        let samples = [sample(1, NOW, 101), sample(2, NOW, u32::MAX), sample(2, NOW - 1, 30)];
        let shares = busy.take(&samples, NOW);
        assert_eq!((sm(&shares, 1), sm(&shares, 2)), (Some(-1.0), Some(0.3)));
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let mut busy = Busy::default();
        busy.take(&[sample(1, NOW, 50)], NOW);
        let past = NOW - 3_600_000_000;
        assert_eq!(busy.since(past), past - FIRST);
        assert_eq!(sm(&busy.take(&[sample(1, past, 60)], past), 1), Some(0.6));
        // Nor does a sample from the future hide those that follow.
        busy.take(&[sample(1, past + 3_600_000_000, 70)], past);
        assert_eq!(busy.since(past), past);
    }
}
