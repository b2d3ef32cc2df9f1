//! When a change of a destination's state is logged.
//!
//! Each change is logged at once, up to [`BURST`] of them; a receiver that comes and goes for longer gets a line every
//! [`PERIOD`], with the newest state and the number of changes since the line before. A failure that lasts is repeated every
//! [`REMINDER`].

use std::time::Duration;

use tokio::time::Instant;

/// Lines that may follow each other at once.
const BURST: u32 = 8;
/// Time after which one more line may be logged.
const PERIOD: Duration = Duration::from_secs(30);
/// Time after which a failure that lasts is logged again.
const REMINDER: Duration = Duration::from_mins(5);

/// Why requests fail, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What distinguishes one failure from another.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) remedy: &'static str,
}

/// Reasons of unlike failures, which their messages distinguish.
const BROAD: [&str; 6] = [
    "configuration",
    "http_4xx",
    "network",
    "not_otlp",
    "proxy_refused",
    "tls_certificate",
];

impl Failure {
    /// What distinguishes it from another: the reason, and the words of its message where that is broad. Numbers may be those
    /// of a time or a request.
    fn cause(&self) -> (&'static str, String) {
        let is_broad = BROAD.contains(&self.reason);
        let words = self.message.chars().filter(|c| is_broad && !c.is_ascii_digit());
        (self.reason, words.collect())
    }
}

/// A line to log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `None` if the destination works.
    pub(super) failure: Option<Failure>,
    /// Changes since the previous line, beyond the one that this line is of.
    pub(super) changes: u64,
    /// How long the failure lasts, or lasted.
    pub(super) lasted: Duration,
}

#[derive(Debug)]
pub(super) struct StateLog {
    failure: Option<Failure>,
    /// Since when requests fail, with whatever reason; of the last failure after it has ended.
    since: Instant,
    until: Instant,
    /// Changes that no line was written for yet.
    changes: u64,
    lines: u32,
    refilled: Instant,
    logged: Instant,
}

impl StateLog {
    /// Of a destination that did not fail yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            failure: None,
            since: now,
            until: now,
            changes: 0,
            lines: BURST,
            refilled: now,
            logged: now,
        }
    }

    pub(super) const fn is_working(&self) -> bool {
        self.failure.is_none()
    }

    /// The state after a request.
    pub(super) fn observe(&mut self, failure: Option<Failure>, now: Instant) {
        let cause = |failure: &Option<Failure>| failure.as_ref().map(Failure::cause);
        if cause(&self.failure) != cause(&failure) {
            self.changes += 1;
            if self.failure.is_none() {
                self.since = now;
            }
            if failure.is_none() {
                self.until = now;
            }
        }
        self.failure = failure;
    }

    /// When the next line is due, if the state stays.
    pub(super) fn due(&self) -> Option<Instant> {
        let allowed = if self.lines > 0 {
            self.refilled
        } else {
            self.refilled + PERIOD
        };
        if self.changes > 0 {
            return Some(allowed);
        }
        self.failure.is_some().then(|| allowed.max(self.logged + REMINDER))
    }

    /// The line that is due.
    pub(super) fn line(&mut self, now: Instant) -> Option<Line> {
        while self.lines < BURST && now.duration_since(self.refilled) >= PERIOD {
            self.lines += 1;
            self.refilled += PERIOD;
        }
        if self.lines == BURST {
            self.refilled = now;
        }
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        self.lines -= 1;
        self.logged = now;
        let end = if self.failure.is_some() { now } else { self.until };
        Some(Line {
            failure: self.failure.clone(),
            changes: std::mem::take(&mut self.changes).saturating_sub(1),
            lasted: end.duration_since(self.since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: &'static str) -> Failure {
        Failure {
            reason,
            message: format!("about {reason}"),
            remedy: "try",
        }
    }

    fn after(log: &mut StateLog, state: Option<Failure>, now: Instant) -> Option<(Option<&'static str>, u64)> {
        log.observe(state, now);
        let line = log.line(now)?;
        Some((line.failure.map(|failure| failure.reason), line.changes))
    }

    #[test]
    fn each_change_is_told_at_once_and_what_stays_is_repeated_every_five_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut log = StateLog::new(start);
        assert_eq!(after(&mut log, None, at(0)), None);
        assert_eq!(after(&mut log, Some(failure("dns")), at(1)), Some((Some("dns"), 0)));
        assert_eq!(after(&mut log, Some(failure("dns")), at(2)), None);
        assert_eq!(
            after(&mut log, Some(failure("refused")), at(3)),
            Some((Some("refused"), 0))
        );
        assert_eq!(after(&mut log, Some(failure("refused")), at(302)), None);
        assert_eq!(
            after(&mut log, Some(failure("refused")), at(303)),
            Some((Some("refused"), 0))
        );
        log.observe(None, at(310));
        let back = log.line(at(310)).unwrap();
        assert_eq!((back.failure, back.lasted), (None, Duration::from_secs(309)));
        assert_eq!(after(&mut log, None, at(311)), None);
        // A relapse with the same reason.
        assert_eq!(
            after(&mut log, Some(failure("refused")), at(312)),
            Some((Some("refused"), 0))
        );
    }

    #[test]
    fn a_receiver_that_comes_and_goes_for_long_gets_few_lines_with_the_newest_state() {
        let start = Instant::now();
        let mut log = StateLog::new(start);
        let mut told = Vec::new();
        for second in 0..600u64 {
            let state = if second % 2 == 0 {
                Some(failure("http_503"))
            } else {
                None
            };
            if let Some((reason, changes)) = after(&mut log, state.clone(), start + Duration::from_secs(second)) {
                assert_eq!(reason.is_some(), state.is_some(), "not the newest state");
                told.push(changes + 1);
            }
        }
        assert!((8..=8 + 20).contains(&told.len()), "{told:?}");
        assert!(told.iter().sum::<u64>() > 570, "{told:?}");
        assert_eq!(told[..8], [1; 8]);
        // Then it stays, and the last state is logged without another request.
        log.observe(Some(failure("dns")), start + Duration::from_mins(10));
        let due = log.due().unwrap();
        assert!(due <= start + Duration::from_mins(10) + PERIOD, "{:?}", due - start);
        assert_eq!(log.line(due).unwrap().failure, Some(failure("dns")));
    }
}
