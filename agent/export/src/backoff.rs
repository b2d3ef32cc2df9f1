//! Exponential backoff between attempts of a request.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use rand::Rng;

/// Waits between attempts. The defaults are those of production; tests pass shorter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    initial: Duration,
    max: Duration,
    probe: Duration,
}

/// Upper bound of a server's `Retry-After`: one of days, by mistake or by a wrong clock, must not silence a node.
pub const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

impl RetryPolicy {
    /// Waits of about `initial` after the first failure, doubling up to `max`; `probe` between attempts at a destination
    /// that refuses everything. `None` unless `0 < initial <= max` and `probe > 0`.
    pub fn new(initial: Duration, max: Duration, probe: Duration) -> Option<Self> {
        let valid = !initial.is_zero() && initial <= max && !probe.is_zero();
        valid.then_some(Self { initial, max, probe })
    }

    /// The first wait.
    pub(crate) const fn initial(self) -> Duration {
        self.initial
    }

    /// Wait between attempts at a destination that refuses everything.
    pub(crate) const fn probe(self) -> Duration {
        self.probe
    }
}

impl Default for RetryPolicy {
    /// 1 s doubling to 30 s; a probe a minute.
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            probe: Duration::from_mins(1),
        }
    }
}

/// State of one destination's waits.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    step: Duration,
}

impl Backoff {
    pub(crate) const fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            step: policy.initial,
        }
    }

    /// The next wait: half of the step to all of it, at random, so that a thousand nodes do not retry at once. The
    /// server's `retry_after` is added, up to [`MAX_RETRY_AFTER`].
    pub(crate) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let wait = self.step.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.step = (self.step * 2).min(self.policy.max);
        wait + retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)
    }

    pub(crate) const fn reset(&mut self) {
        self.step = self.policy.initial;
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3); `None` for a date that has passed.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(SystemTime::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_with_jitter_below_and_start_again_after_success() {
        let mut backoff = Backoff::new(RetryPolicy::default());
        for full in [1, 2, 4, 8, 16, 30, 30] {
            let (wait, full) = (backoff.next(None), Duration::from_secs(full));
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= Duration::from_secs(1));
    }

    #[test]
    fn retry_after_is_a_minimum_with_a_cap() {
        let mut backoff = Backoff::new(RetryPolicy::default());
        assert!(backoff.next(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(backoff.next(Some(Duration::from_hours(24))) <= MAX_RETRY_AFTER + Duration::from_secs(30));
    }

    #[test]
    fn a_policy_that_would_spin_is_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(RetryPolicy::new(Duration::ZERO, second, second), None);
        assert_eq!(RetryPolicy::new(second * 2, second, second), None);
        assert_eq!(RetryPolicy::new(second, second, Duration::ZERO), None);
    }
}
