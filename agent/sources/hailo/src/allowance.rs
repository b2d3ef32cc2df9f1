//! A share of a core for what others can make the agent do: saved up for what comes at once, and owed after what took longer.

use std::time::{Duration, Instant};

/// Share of a core, the most that is saved up, and the most that is owed: the longest rest is `owed / share`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tariff {
    pub(super) share: f64,
    pub(super) saved: Duration,
    pub(super) owed: Duration,
}

/// What is left of it.
#[derive(Debug)]
pub(super) struct Allowance {
    tariff: Tariff,
    /// In seconds of CPU time; negative where it is owed.
    left: f64,
    at: Option<Instant>,
}

impl Allowance {
    pub(super) const fn new(tariff: Tariff) -> Self {
        Self {
            tariff,
            left: tariff.saved.as_secs_f64(),
            at: None,
        }
    }

    /// Whether nothing is owed any more.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let Tariff { share, saved, .. } = self.tariff;
        let since = self.at.replace(now);
        let rest = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.left = (self.left + share * rest.as_secs_f64()).min(saved.as_secs_f64());
        self.left >= 0.0
    }

    /// Takes what was used.
    pub(super) fn charge(&mut self, took: Duration) {
        self.left = (self.left - took.as_secs_f64()).max(-self.tariff.owed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARIFF: Tariff = Tariff {
        share: 0.01,
        saved: Duration::from_millis(100),
        owed: Duration::from_millis(50),
    };

    #[test]
    fn what_was_saved_is_there_at_once_and_the_rest_follows_from_the_share() {
        let (begun, mut allowance) = (Instant::now(), Allowance::new(TARIFF));
        let at = |seconds| begun + Duration::from_secs_f64(seconds);
        let mut used = 0;
        for milliseconds in 0..60_000 {
            if allowance.admits(begun + Duration::from_millis(milliseconds)) {
                allowance.charge(Duration::from_millis(10));
                used += 10;
            }
        }
        // 100 ms that were saved, and a hundredth of a minute.
        assert!((690..=710).contains(&used), "{used}");
        allowance.charge(Duration::from_secs(60));
        assert!(!allowance.admits(at(64.5)));
        assert!(allowance.admits(at(65.5)), "no more is owed than the most");
    }
}
