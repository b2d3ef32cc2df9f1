//! Findings below the live table, renewed every few seconds.

use std::time::{Duration, Instant};

use crate::config::Config;
use crate::doctor;
use accelscope_core::sampler::{Finding, Level};
use accelscope_core::source::Context;

/// Least time between two searches: each reads the descriptors of every process.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same as a multiple of the time of the last one, and the longest: it may be the processes of others that take that long.
const REST: u32 = 100;
const LATEST: Duration = Duration::from_mins(1);

/// Findings on missing accelerators, kept for its interval.
pub struct Explain {
    search: Box<dyn Fn(Level) -> Vec<Finding>>,
    last: Option<Last>,
}

struct Last {
    until: Instant,
    seen: bool,
    findings: Vec<Finding>,
}

impl Explain {
    /// Findings of the sources of this configuration.
    pub fn new(config: Config, context: Context) -> Self {
        Self::of(move |least| doctor::while_running(&config, &context, least))
    }

    fn of(search: impl Fn(Level) -> Vec<Finding> + 'static) -> Self {
        Self {
            search: Box::new(search),
            last: None,
        }
    }

    /// The current findings. `seen` is whether any sampler has readings of accelerators: the absence of a vendor's accelerators is a finding
    /// only while there are none. Searches again when `seen` has changed, else every [`INTERVAL`] at most, and
    /// less often where that takes long.
    pub(super) fn findings(&mut self, seen: bool) -> Vec<Finding> {
        if let Some(last) = &self.last
            && last.seen == seen
            && Instant::now() < last.until
        {
            return last.findings.clone();
        }
        let least = if seen { Level::Warn } else { Level::Nothing };
        let begun = Instant::now();
        let findings = (self.search)(least);
        let ended = Instant::now();
        self.last = Some(Last {
            until: ended + ((ended - begun) * REST).clamp(INTERVAL, LATEST),
            seen,
            findings: findings.clone(),
        });
        findings
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_host_is_searched_again_when_something_changed_and_not_for_every_redraw() {
        let searches = Arc::new(AtomicUsize::new(0));
        let counted = searches.clone();
        let mut explain = Explain::of(move |least| {
            let nth = counted.fetch_add(1, Ordering::Relaxed) + 1;
            vec![Finding::new(least, "test", format!("{least:?} {nth}"))]
        });
        let mut shown = |seen| {
            explain
                .findings(seen)
                .into_iter()
                .map(|finding| finding.what)
                .collect::<String>()
        };
        let first = shown(false);
        assert_eq!(first, "Nothing 1");
        // Redraws are a second apart; these are at once, with no more searches than one per interval on any machine.
        let began = Instant::now();
        for _ in 0..100 {
            shown(false);
        }
        let allowed = 1 + began.elapsed().as_secs() as usize / 5 + 1;
        assert!(searches.load(Ordering::Relaxed) <= allowed, "{searches:?}");
        let before = searches.load(Ordering::Relaxed);
        assert_eq!(shown(true), format!("Warn {}", before + 1), "now something is seen");
    }

    #[test]
    fn findings_are_kept_until_they_are_old() {
        let searches = AtomicUsize::new(0);
        let mut explain = Explain::of(move |_| {
            searches.fetch_add(1, Ordering::Relaxed);
            vec![Finding::warn("test", searches.load(Ordering::Relaxed).to_string())]
        });
        explain.findings(true);
        let last = explain.last.as_mut().unwrap();
        last.until = Instant::now();
        assert_eq!(explain.findings(true)[0].what, "2");
    }

    #[test]
    fn a_long_search_is_followed_by_a_long_rest() {
        let mut explain = Explain::of(|_| {
            std::thread::sleep(2 * INTERVAL / REST);
            Vec::new()
        });
        explain.findings(true);
        assert!(explain.last.unwrap().until > Instant::now() + INTERVAL);
    }
}
