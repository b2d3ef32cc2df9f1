//! What is said beside the live table, looked for no oftener than anybody reads it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::doctor;
use accelscope_core::sampler::{Finding, Level};
use accelscope_core::source::Context;

/// Looking means to read every process' descriptors.
const EVERY: Duration = Duration::from_secs(5);

type Look = dyn Fn(Level) -> Vec<Finding> + Send + Sync;

/// What hides accelerators, kept for a while.
pub struct Explain {
    look: Box<Look>,
    last: Mutex<Option<Last>>,
}

struct Last {
    at: Instant,
    seen: bool,
    findings: Vec<Finding>,
}

impl Explain {
    /// For the samplers of this configuration.
    pub fn new(config: Config, context: Context) -> Self {
        Self::of(move |least| doctor::while_running(&config, &context, least))
    }

    fn of(look: impl Fn(Level) -> Vec<Finding> + Send + Sync + 'static) -> Self {
        Self {
            look: Box::new(look),
            last: Mutex::default(),
        }
    }

    /// What is to be said, given whether any sampler has readings: that a vendor's accelerators are not here is worth
    /// saying only while nothing else is seen. Looks anew when that has changed, else every 5 s at most.
    pub(super) fn findings(&self, seen: bool) -> Vec<Finding> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.seen == seen
            && last.at.elapsed() < EVERY
        {
            return last.findings.clone();
        }
        let least = if seen { Level::Warn } else { Level::Nothing };
        let findings = (self.look)(least);
        *last = Some(Last {
            // After the look, which may take long on a machine with many processes.
            at: Instant::now(),
            seen,
            findings: findings.clone(),
        });
        findings
    }
}

impl std::fmt::Debug for Explain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explain").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_host_is_looked_at_again_when_something_changed_and_not_for_every_redraw() {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = looks.clone();
        let explain = Explain::of(move |least| {
            let nth = counted.fetch_add(1, Ordering::Relaxed) + 1;
            vec![Finding::new(least, "test", format!("{least:?} {nth}"))]
        });
        let said = |seen| {
            explain
                .findings(seen)
                .into_iter()
                .map(|finding| finding.what)
                .collect::<String>()
        };
        let first = said(false);
        assert_eq!(first, "Nothing 1");
        // Redraws are a second apart; these are at once, and however slow the machine, no more looks than 5 s allow.
        let began = Instant::now();
        for _ in 0..100 {
            said(false);
        }
        let allowed = 1 + began.elapsed().as_secs() as usize / 5 + 1;
        assert!(looks.load(Ordering::Relaxed) <= allowed, "{looks:?}");
        let before = looks.load(Ordering::Relaxed);
        assert_eq!(said(true), format!("Warn {}", before + 1), "now something is seen");
    }

    #[test]
    fn what_was_said_is_said_again_until_it_is_old() {
        let looks = AtomicUsize::new(0);
        let explain = Explain::of(move |_| {
            looks.fetch_add(1, Ordering::Relaxed);
            vec![Finding::warn("test", looks.load(Ordering::Relaxed).to_string())]
        });
        explain.findings(true);
        let mut last = explain.last.lock().unwrap();
        let last_look = last.as_mut().unwrap();
        last_look.at = last_look.at.checked_sub(EVERY).expect("the machine runs for longer");
        drop(last);
        assert_eq!(explain.findings(true)[0].what, "2");
    }
}
