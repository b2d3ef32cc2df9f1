//! Schedule of the writes and of the removal of the annotation.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::view::{MAX_AGE, View};

/// Interval of the writes that only renew the timestamp.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// Interval of the checks for new readings while no write is due.
const CHECK: Duration = Duration::from_secs(5);

/// A change of the annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Write(View),
    Remove,
}

/// Assumed state of the node's annotation, from which the next change follows.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// Time of the newest reading so far; before the first, the start.
    newest: Instant,
    annotation: Annotation,
}

#[derive(Debug)]
enum Annotation {
    /// An earlier run, or a write without an answer, may have left one.
    Unknown,
    Absent,
    Written {
        view: View,
        /// Earliest time of the next write of a change.
        change: Instant,
        /// Time at which the timestamp is renewed.
        heartbeat: Instant,
    },
}

impl Schedule {
    pub(super) const fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            newest: now,
            annotation: Annotation::Unknown,
        }
    }

    /// The change that is due, given the readings and the age of the newest one.
    pub(super) fn next(&mut self, now: Instant, view: Option<(View, Duration)>) -> Option<Change> {
        let Some((view, age)) = view else {
            let stale = now.duration_since(self.newest) >= MAX_AGE;
            return (stale && self.may_exist()).then_some(Change::Remove);
        };
        self.newest = now.checked_sub(age).unwrap_or(now).max(self.newest);
        let due = match &self.annotation {
            Annotation::Unknown | Annotation::Absent => true,
            Annotation::Written {
                view: written,
                change,
                heartbeat,
            } => now >= *heartbeat && *written != view || now >= *change && written.chips != view.chips,
        };
        due.then_some(Change::Write(view))
    }

    /// The API server accepted the change.
    pub(super) fn done(&mut self, change: Change, now: Instant) {
        self.annotation = match change {
            Change::Remove => Annotation::Absent,
            Change::Write(view) => {
                let mut rng = rand::rng();
                // An interval above the heartbeat's stretches the heartbeat too.
                let heartbeat = HEARTBEAT.max(self.interval);
                Annotation::Written {
                    view,
                    change: now + self.interval.mul_f64(rng.random_range(0.9..=1.1)),
                    heartbeat: now + heartbeat.mul_f64(rng.random_range(0.9..=1.0)),
                }
            }
        };
    }

    /// Whether the API server applied the change is unknown.
    pub(super) fn failed(&mut self) {
        self.annotation = Annotation::Unknown;
    }

    /// Whether the node may have the annotation.
    pub(super) const fn may_exist(&self) -> bool {
        !matches!(self.annotation, Annotation::Absent)
    }

    /// Time until which no change can be due.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let check = CHECK.min(self.interval);
        match &self.annotation {
            Annotation::Written { change, .. } if *change > now => {
                let stale = (self.newest + MAX_AGE).saturating_duration_since(now).max(check);
                change.duration_since(now).min(stale)
            }
            Annotation::Written { heartbeat, .. } if *heartbeat > now => heartbeat.duration_since(now).min(check),
            _ => check,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use accelscope_core::metric::Timestamp;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn view(second: u64, chips: &str) -> (View, Duration) {
        let view = View {
            read: Timestamp::from_unix_nanos(second * 1_000_000_000),
            chips: chips.to_owned(),
        };
        (view, Duration::ZERO)
    }

    fn written(schedule: &mut Schedule, at: Instant, second: u64, chips: &str) -> bool {
        let change = schedule.next(at, Some(view(second, chips)));
        if let Some(change) = change.clone() {
            schedule.done(change, at);
        }
        change.is_some()
    }

    #[test]
    fn the_first_reading_is_written_at_once_and_changes_after_the_interval_with_jitter() {
        let start = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..200 {
            let mut schedule = Schedule::new(INTERVAL, start);
            assert!(written(&mut schedule, start, 0, "a"));
            let mut at = start;
            while schedule.next(at, Some(view(1, "b"))).is_none() {
                at += Duration::from_millis(100);
            }
            waits.push(at - start);
        }
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least >= INTERVAL.mul_f64(0.9), "{least:?}");
        assert!(*most <= INTERVAL.mul_f64(1.1) + Duration::from_millis(100), "{most:?}");
        assert!(
            *most > *least + Duration::from_secs(3),
            "no jitter: {least:?} to {most:?}"
        );
    }

    #[test]
    fn unchanged_readings_are_written_once_a_minute() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, start);
        let writes = (0..600)
            .filter(|second| written(&mut schedule, start + Duration::from_secs(*second), *second, "a"))
            .count();
        assert!((10..=12).contains(&writes), "{writes} writes in 10 minutes");
    }

    #[test]
    fn a_timestamp_that_stands_still_is_not_written_again() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, start);
        assert!(written(&mut schedule, start, 0, "a"));
        assert!(!written(&mut schedule, start + Duration::from_secs(120), 0, "a"));
    }

    #[test]
    fn it_goes_three_minutes_after_the_last_good_reading_and_comes_back_with_the_next() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(INTERVAL, start);
        let change = schedule.next(after(60), Some((view(0, "a").0, Duration::from_secs(20))));
        schedule.done(change.unwrap(), after(60));
        assert_eq!(schedule.next(after(219), None), None);
        assert_eq!(schedule.next(after(220), None), Some(Change::Remove));
        schedule.done(Change::Remove, after(220));
        assert_eq!(schedule.next(after(900), None), None, "removed twice");
        assert!(written(&mut schedule, after(901), 901, "a"));
    }

    #[test]
    fn what_a_crashed_agent_left_goes_too() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, start);
        assert_eq!(schedule.next(start + Duration::from_secs(100), None), None);
        assert_eq!(schedule.next(start + MAX_AGE, None), Some(Change::Remove));
    }

    #[test]
    fn a_write_without_an_answer_is_repeated_even_when_nothing_changed() {
        let start = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, start);
        assert!(written(&mut schedule, start, 0, "a"));
        schedule.failed();
        assert!(schedule.next(start, Some(view(0, "a"))).is_some());
    }

    #[test]
    fn it_never_sleeps_past_what_is_due() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Duration::from_secs(600), start);
        assert!(schedule.wait(start) <= CHECK);
        assert!(written(&mut schedule, start, 0, "a"));
        assert!(
            schedule.wait(start) <= MAX_AGE,
            "a stale annotation would stay for the interval"
        );
        let mut schedule = Schedule::new(INTERVAL, start);
        assert!(written(&mut schedule, start, 0, "a"));
        assert!(
            schedule.wait(start) > Duration::from_secs(20),
            "checks though nothing can be due"
        );
    }
}
