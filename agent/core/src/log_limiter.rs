//! Rate limit of repeated log lines, by cause.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time and suppressed lines of each cause. Causes are literals of the program, so their number is bounded.
#[derive(Debug)]
pub struct LogLimiter {
    /// Least time between two lines of one cause.
    period: Duration,
    causes: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

impl Default for LogLimiter {
    /// With a line of each cause every five minutes.
    fn default() -> Self {
        Self::new(Duration::from_mins(5))
    }
}

impl LogLimiter {
    /// With a line of each cause every `period` at most.
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            causes: Mutex::default(),
        }
    }

    /// Number of lines of the cause that were suppressed since its last one, if one may be logged now.
    pub fn admit(&self, cause: &'static str) -> Option<u64> {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some((logged, suppressed)) = causes.get_mut(cause) else {
            causes.insert(cause, (now, 0));
            return Some(0);
        };
        if now.duration_since(*logged) < self.period {
            *suppressed += 1;
            return None;
        }
        *logged = now;
        Some(std::mem::take(suppressed))
    }
}
