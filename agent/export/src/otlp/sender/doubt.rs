//! Whether the receiver is away, or one point never gets there.
//!
//! A point may be what ends the connection, or what is never answered or forbidden: a filter on the way dislikes its text, or
//! the receiver dies of it. By the failure alone this looks like an outage. So when requests go on failing, a point that this
//! receiver took before is sent again, a *probe*. Where it passes and what waits at the front goes on failing, the front is
//! halved down to the point that is the cause; where the probe fails, too, the receiver is away and everything waits.
//!
//! Nothing that waits overtakes the front for it, so that the points of a series stay in their order. The probe is the newest
//! state of its series, and a receiver gets it twice as after an answer that was lost: points are cumulative.

use super::super::classify::Verdict;
use super::super::part::part;
use super::super::queue::Request;
use super::super::sizing::Identity;
use bytes::Bytes;

/// Failures without a success between, after which the first probe is sent.
const FAILURES: u32 = 3;

/// Probes that pass between failures of a point before it is given up.
const PROBES: u32 = 2;

/// What a failure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing yet, or that the receiver is away.
    Wait,
    /// A probe decides, and pieces of what failed.
    Probe,
    /// The receiver takes other points, and never this one.
    Point,
}

#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// What failed last.
    of: Identity,
    /// Since the last success, of requests that do not get smaller by themselves.
    failures: u32,
    /// Probes that passed between its failures.
    passed: u32,
    /// Whether the last probe passed: then the next failure asks for another one at once.
    pub(super) is_alive: bool,
    /// A point that the receiver took.
    known: Option<Bytes>,
}

impl Doubt {
    /// A request was accepted.
    pub(super) fn accepted(&mut self, request: &Request, identity: Identity) {
        // A single point passes that failed although others passed: the receiver comes and goes.
        self.is_alive &= self.failures == 0 || self.of != identity || identity.1 > 1;
        (self.failures, self.passed) = (0, 0);
        // The first one is the newest of its series: the records before are older.
        let known = request.bodies.last().and_then(|body| part(body, &(0..1)));
        self.known = known.map(Bytes::from).or_else(|| self.known.take());
    }

    /// What an answer says of the points. One that asks for time speaks of the receiver.
    pub(super) fn concluded(&mut self, verdict: Verdict, is_slow: bool, identity: Identity) -> Finding {
        match verdict {
            Verdict::Retry { retry_after: None } if is_slow => self.failed(identity, true),
            Verdict::Hold => self.failed(identity, false),
            _ => Finding::Wait,
        }
    }

    /// A request failed in a way that its points may be the cause of. `may_shrink` where the next one is smaller by itself.
    fn failed(&mut self, identity: Identity, may_shrink: bool) -> Finding {
        let (_, points) = identity;
        if self.of != identity {
            (self.of, self.passed) = (identity, 0);
        }
        if points > 1 && may_shrink {
            return Finding::Wait;
        }
        self.failures = self.failures.saturating_add(1);
        if points == 1 && self.passed >= PROBES {
            (self.failures, self.passed) = (0, 0);
            return Finding::Point;
        }
        if self.is_alive || self.failures >= FAILURES {
            return Finding::Probe;
        }
        Finding::Wait
    }

    /// The probe; none before the first success.
    pub(super) fn known(&self) -> Option<Bytes> {
        self.known.clone()
    }

    /// Whether the probe passed.
    pub(super) fn probed(&mut self, has_passed: bool) {
        self.is_alive = has_passed;
        self.passed = if has_passed { self.passed + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::queue::Request;
    use super::*;

    /// One that took a point.
    fn doubt() -> Doubt {
        let mut doubt = Doubt::default();
        // resource_metrics, scope_metrics, metrics, gauge, and a point without content.
        let body = Bytes::from_static(&[10, 8, 18, 6, 18, 4, 42, 2, 10, 0]);
        let request = Request {
            bodies: vec![body.clone()],
            points: 1,
        };
        doubt.accepted(&request, (0, 1));
        assert_eq!(doubt.known(), Some(body));
        doubt
    }

    #[test]
    fn a_point_is_given_up_where_probes_pass_and_never_where_one_fails() {
        let mut doubt = doubt();
        assert_eq!(doubt.failed((1, 1), true), Finding::Wait);
        assert_eq!(doubt.failed((1, 1), true), Finding::Wait);
        for _ in 0..100 {
            assert_eq!(doubt.failed((1, 1), true), Finding::Probe);
            doubt.probed(true);
            assert_eq!(doubt.failed((1, 1), true), Finding::Probe);
            doubt.probed(false);
        }
        for _ in 0..PROBES {
            assert_eq!(doubt.failed((1, 1), true), Finding::Probe);
            doubt.probed(true);
        }
        assert_eq!(doubt.failed((1, 1), true), Finding::Point);
        // The next one needs as many, and no three failures first.
        assert_eq!(doubt.failed((2, 1), true), Finding::Probe);
    }

    #[test]
    fn what_can_be_divided_is_never_given_up() {
        let mut doubt = doubt();
        for _ in 0..100 {
            assert_eq!(doubt.failed((1, 2), true), Finding::Wait);
        }
        for _ in 0..100 {
            if doubt.failed((1, 2), false) == Finding::Probe {
                doubt.probed(true);
            }
        }
        assert_eq!(
            doubt.failed((1, 1), false),
            Finding::Probe,
            "probes of a larger request count"
        );
    }

    #[test]
    fn without_a_point_that_passed_everything_waits() {
        let mut doubt = Doubt::default();
        for _ in 0..100 {
            assert_ne!(doubt.failed((1, 1), true), Finding::Point);
            assert_eq!(doubt.known(), None);
        }
    }
}
