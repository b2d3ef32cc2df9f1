//! When the annotation is to be written, and when it is to go.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::view::{MAX_AGE, View};

/// Time between writes that only renew the timestamp.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// Time between looks at the readings while none is due to be written.
const LOOK: Duration = Duration::from_secs(5);

/// A write to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Write(View),
    Remove,
}

/// What the node is believed to carry, and what follows from it.
#[derive(Debug)]
pub(super) struct Plan {
    interval: Duration,
    /// When the newest reading was made that was ever seen; the start, before there is one.
    good: Instant,
    carried: Carried,
}

#[derive(Debug)]
enum Carried {
    /// Whatever an earlier run, or a write without an answer, left.
    Unknown,
    Nothing,
    Written {
        view: View,
        /// When the next change may be written.
        change: Instant,
        /// When the timestamp is to be renewed.
        heartbeat: Instant,
    },
}

impl Plan {
    pub(super) const fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            good: now,
            carried: Carried::Unknown,
        }
    }

    /// What is to be written now, given the readings and how old the newest is.
    pub(super) fn next(&mut self, now: Instant, view: Option<(View, Duration)>) -> Option<Change> {
        let Some((view, age)) = view else {
            let stale = now.duration_since(self.good) >= MAX_AGE;
            return (stale && self.carries()).then_some(Change::Remove);
        };
        self.good = now.checked_sub(age).unwrap_or(now).max(self.good);
        let due = match &self.carried {
            Carried::Unknown | Carried::Nothing => true,
            Carried::Written {
                view: written,
                change,
                heartbeat,
            } => now >= *heartbeat && *written != view || now >= *change && written.chips != view.chips,
        };
        due.then_some(Change::Write(view))
    }

    /// The API server has taken it.
    pub(super) fn done(&mut self, change: Change, now: Instant) {
        self.carried = match change {
            Change::Remove => Carried::Nothing,
            Change::Write(view) => {
                let mut rng = rand::rng();
                // Whoever asks for more time between writes than the heartbeat's asks for fewer heartbeats too.
                let heartbeat = HEARTBEAT.max(self.interval);
                Carried::Written {
                    view,
                    change: now + self.interval.mul_f64(rng.random_range(0.9..=1.1)),
                    heartbeat: now + heartbeat.mul_f64(rng.random_range(0.9..=1.0)),
                }
            }
        };
    }

    /// Nobody knows whether it was taken.
    pub(super) fn failed(&mut self) {
        self.carried = Carried::Unknown;
    }

    /// Whether the node may carry something.
    pub(super) const fn carries(&self) -> bool {
        !matches!(self.carried, Carried::Nothing)
    }

    /// How long nothing can be due.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let look = LOOK.min(self.interval);
        match &self.carried {
            Carried::Written { change, .. } if *change > now => {
                let stale = (self.good + MAX_AGE).saturating_duration_since(now).max(look);
                change.duration_since(now).min(stale)
            }
            Carried::Written { heartbeat, .. } if *heartbeat > now => heartbeat.duration_since(now).min(look),
            _ => look,
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

    fn written(plan: &mut Plan, at: Instant, second: u64, chips: &str) -> bool {
        let change = plan.next(at, Some(view(second, chips)));
        if let Some(change) = change.clone() {
            plan.done(change, at);
        }
        change.is_some()
    }

    #[test]
    fn the_first_reading_is_written_at_once_and_changes_after_the_interval_with_jitter() {
        let start = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..200 {
            let mut plan = Plan::new(INTERVAL, start);
            assert!(written(&mut plan, start, 0, "a"));
            let mut at = start;
            while plan.next(at, Some(view(1, "b"))).is_none() {
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
        let mut plan = Plan::new(INTERVAL, start);
        let writes = (0..600)
            .filter(|second| written(&mut plan, start + Duration::from_secs(*second), *second, "a"))
            .count();
        assert!((10..=12).contains(&writes), "{writes} writes in 10 minutes");
    }

    #[test]
    fn a_timestamp_that_stands_still_is_not_written_again() {
        let start = Instant::now();
        let mut plan = Plan::new(INTERVAL, start);
        assert!(written(&mut plan, start, 0, "a"));
        assert!(!written(&mut plan, start + Duration::from_secs(120), 0, "a"));
    }

    #[test]
    fn it_goes_three_minutes_after_the_last_good_reading_and_comes_back_with_the_next() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut plan = Plan::new(INTERVAL, start);
        let change = plan.next(after(60), Some((view(0, "a").0, Duration::from_secs(20))));
        plan.done(change.unwrap(), after(60));
        assert_eq!(plan.next(after(219), None), None);
        assert_eq!(plan.next(after(220), None), Some(Change::Remove));
        plan.done(Change::Remove, after(220));
        assert_eq!(plan.next(after(900), None), None, "removed twice");
        assert!(written(&mut plan, after(901), 901, "a"));
    }

    #[test]
    fn what_a_crashed_agent_left_goes_too() {
        let start = Instant::now();
        let mut plan = Plan::new(INTERVAL, start);
        assert_eq!(plan.next(start + Duration::from_secs(100), None), None);
        assert_eq!(plan.next(start + MAX_AGE, None), Some(Change::Remove));
    }

    #[test]
    fn a_write_without_an_answer_is_repeated_even_when_nothing_changed() {
        let start = Instant::now();
        let mut plan = Plan::new(INTERVAL, start);
        assert!(written(&mut plan, start, 0, "a"));
        plan.failed();
        assert!(plan.next(start, Some(view(0, "a"))).is_some());
    }

    #[test]
    fn it_never_sleeps_past_what_is_due() {
        let start = Instant::now();
        let mut plan = Plan::new(Duration::from_secs(600), start);
        assert!(plan.wait(start) <= LOOK);
        assert!(written(&mut plan, start, 0, "a"));
        assert!(
            plan.wait(start) <= MAX_AGE,
            "a stale annotation would stay for the interval"
        );
        let mut plan = Plan::new(INTERVAL, start);
        assert!(written(&mut plan, start, 0, "a"));
        assert!(
            plan.wait(start) > Duration::from_secs(20),
            "looks though nothing can be due"
        );
    }
}
