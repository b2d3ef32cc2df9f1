//! Rate limit of log lines.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::metrics::Counter;
use tracing::callsite::Identifier;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use accelscope_core::metric::catalogue;
use accelscope_core::telemetry;

/// Lines of one callsite that are written in a [`WINDOW`]; further ones are counted in `agent.log.suppressed`.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Admits [`LINES`] events of each callsite in a [`WINDOW`], so that a fault that repeats does not fill the disk.
#[derive(Debug)]
pub(super) struct CallsiteLimit<K = Identifier> {
    seen: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K> Default for CallsiteLimit<K> {
    fn default() -> Self {
        Self { seen: Mutex::default() }
    }
}

impl<K: Eq + Hash> CallsiteLimit<K> {
    fn admits(&self, callsite: K, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = seen.entry(callsite).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= LINES
    }
}

static SUPPRESSED: OnceLock<Counter<u64>> = OnceLock::new();
/// Lines that were not written before there was a counter.
static EARLY: AtomicU64 = AtomicU64::new(0);

/// Counts lines that were not written.
pub(crate) fn count_suppressed(lines: u64) {
    match SUPPRESSED.get() {
        Some(counter) => counter.add(lines, &[]),
        None => {
            EARLY.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

/// Makes the counter visible. The agent's meter provider must be installed.
pub(crate) fn show_suppressed() {
    SUPPRESSED
        .get_or_init(|| telemetry::counter(&catalogue::agent::LOG_SUPPRESSED))
        .add(EARLY.swap(0, Ordering::Relaxed), &[]);
}

impl<S: Subscriber> Filter<S> for CallsiteLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &tracing::Event<'_>, _: &Context<'_, S>) -> bool {
        let admitted = self.admits(event.metadata().callsite(), Instant::now());
        if !admitted {
            count_suppressed(1);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_repeats_is_logged_ten_times_a_minute() {
        let (filter, start) = (CallsiteLimit::default(), Instant::now());
        let admitted = |callsite, at| (0..100).filter(|_| filter.admits(callsite, at)).count();
        assert_eq!(admitted("refused", start), 10);
        assert_eq!(admitted("timed out", start), 10);
        assert_eq!(admitted("refused", start + WINDOW), 10);
    }
}
