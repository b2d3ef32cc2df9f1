//! The points of one run, and what gave none.

use std::io;
use std::sync::Arc;

use crate::kept::is_absent;
use crate::settings::NAME;
use accelscope_core::metric::catalogue::agent;
use accelscope_core::metric::{Attributes, Instrument, Point, Timestamp, Value};
use accelscope_core::telemetry::ReasonCounter;

/// Why a value gives no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A counter went backwards; its series keeps the last value.
    Decreased,
    /// No CPU time has passed since the last reading.
    Frozen,
    /// The file has another format.
    Malformed,
    /// The value is beyond what can be.
    OutOfRange,
    /// The file is there and cannot be read.
    Unreadable,
    /// The file system does not answer.
    NoAnswer,
    /// There are more than are read.
    TooMany,
    /// Its name is not UTF-8, and that of another looks the same.
    Ambiguous,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Decreased,
        Self::Frozen,
        Self::Malformed,
        Self::OutOfRange,
        Self::Unreadable,
        Self::NoAnswer,
        Self::TooMany,
        Self::Ambiguous,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Decreased => "decreased",
            Self::Frozen => "frozen",
            Self::Malformed => "malformed",
            Self::OutOfRange => "out_of_range",
            Self::Unreadable => "unreadable",
            Self::NoAnswer => "no_answer",
            Self::TooMany => "too_many",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// What a person is told of the file.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Decreased | Self::Frozen => "does not count on",
            Self::Malformed => "is not written as the kernel writes it",
            Self::OutOfRange => "has values beyond what can be",
            Self::Unreadable => "cannot be read",
            Self::NoAnswer => "does not answer",
            Self::TooMany => "has more than is read",
            Self::Ambiguous => "has names that are not UTF-8 and look the same",
        }
    }
}

/// Counts what gave no point.
#[derive(Debug)]
pub(crate) struct Skipped(ReasonCounter);

impl Skipped {
    pub(crate) fn new() -> Self {
        let counter = ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME);
        counter.begin(Reason::ALL.map(Reason::as_str));
        Self(counter)
    }
}

/// The points of one run.
pub(crate) struct Readings<'a> {
    points: Vec<Point>,
    /// Counts what gave no point; not for `agent doctor`.
    skipped: Option<&'a Skipped>,
    /// The first of what gave no point.
    pub(crate) reason: Option<Reason>,
    /// What was counted, for tests.
    #[cfg(test)]
    pub(crate) reasons: Vec<Reason>,
    /// The first file that could not be read, whether it is there or not.
    pub(crate) error: Option<io::Error>,
    /// When the host started, or the earliest time that is known to it; counters begin there.
    pub(crate) boot: Option<Timestamp>,
}

impl<'a> Readings<'a> {
    pub(crate) fn new(capacity: usize, skipped: &'a Skipped) -> Self {
        Self {
            points: Vec::with_capacity(capacity),
            skipped: Some(skipped),
            ..Self::uncounted()
        }
    }

    /// Of a look that is no run.
    pub(crate) fn uncounted() -> Self {
        Self {
            points: Vec::new(),
            skipped: None,
            reason: None,
            #[cfg(test)]
            reasons: Vec::new(),
            error: None,
            boot: None,
        }
    }

    pub(crate) fn into_points(self) -> Vec<Point> {
        self.points
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(crate) fn push(&mut self, point: Point) {
        self.points.push(point);
    }

    pub(crate) fn gauge(
        &mut self,
        instrument: &'static Instrument,
        attributes: &Arc<Attributes>,
        value: impl Into<Value>,
        time: Timestamp,
    ) {
        self.points
            .push(Point::new(instrument, attributes.clone(), value, time));
    }

    /// A point of a counter that began at the host's start.
    pub(crate) fn counter(
        &mut self,
        instrument: &'static Instrument,
        attributes: &Arc<Attributes>,
        value: impl Into<Value>,
        time: Timestamp,
    ) -> Point {
        let mut point = Point::new(instrument, attributes.clone(), value, time);
        // The clock may have been set back since.
        point.start = Some(self.boot.unwrap_or(time).min(time));
        point
    }

    pub(crate) fn skip(&mut self, reason: Reason) {
        self.skip_many(1, reason);
    }

    pub(crate) fn skip_many(&mut self, number: u64, reason: Reason) {
        if let Some(skipped) = self.skipped {
            skipped.0.add(number, reason.as_str());
        }
        self.reason.get_or_insert(reason);
        #[cfg(test)]
        self.reasons.push(reason);
    }

    /// Counts a file that could not be read, unless the machine does not have it.
    pub(crate) fn failed(&mut self, error: io::Error) {
        if !is_absent(&error) {
            let is_large = error.kind() == io::ErrorKind::FileTooLarge;
            self.skip(if is_large { Reason::TooMany } else { Reason::Unreadable });
        }
        self.error.get_or_insert(error);
    }
}
