//! Why a reading gave no point: the values of `agent.reason` of `agent.sampler.skipped`.

use std::io;
use std::sync::Arc;

use accelscope_core::metric::catalogue::agent;
use accelscope_core::telemetry::ReasonCounter;
use opentelemetry::Value;
use rustix::io::Errno;

use crate::settings::NAME;

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// EACCES or EPERM.
    NoPermission,
    /// The sensor has no value now: ENODATA, ENXIO, EAGAIN, EBUSY.
    NoData,
    /// EIO, ETIMEDOUT and every other error.
    Error,
    /// What was read is no number.
    NotANumber,
    /// What hardware reports that has no value: all bits set.
    Sentinel,
    /// More than there can be.
    BeyondPhysics,
    /// A counter that runs backwards and has not wrapped.
    Backwards,
    /// A counter that stands still where it cannot.
    Frozen,
    /// So long since the last reading that the counter may have wrapped more than once.
    Ambiguous,
    /// The machine was suspended, in which hardware may lose its counters.
    Suspended,
    /// A sensor does not answer.
    Hung,
    /// More than are read.
    TooMany,
}

impl Reason {
    const ALL: [Self; 12] = [
        Self::NoPermission,
        Self::NoData,
        Self::Error,
        Self::NotANumber,
        Self::Sentinel,
        Self::BeyondPhysics,
        Self::Backwards,
        Self::Frozen,
        Self::Ambiguous,
        Self::Suspended,
        Self::Hung,
        Self::TooMany,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoPermission => "no_permission",
            Self::NoData => "no_data",
            Self::Error => "error",
            Self::NotANumber => "not_a_number",
            Self::Sentinel => "sentinel",
            Self::BeyondPhysics => "beyond_physics",
            Self::Backwards => "backwards",
            Self::Frozen => "frozen",
            Self::Ambiguous => "ambiguous",
            Self::Suspended => "suspended",
            Self::Hung => "hung",
            Self::TooMany => "too_many",
        }
    }
}

impl Reason {
    /// For people.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::NoPermission => "no permission",
            Self::NoData => "it has no value now",
            Self::Error => "the driver fails",
            Self::NotANumber => "no number is in it",
            Self::Sentinel => "what is in it stands for no value",
            Self::BeyondPhysics => "more is in it than there can be",
            Self::Backwards => "it runs backwards",
            Self::Frozen => "it stands still",
            Self::Ambiguous => "it was read too rarely",
            Self::Suspended => "the machine was suspended",
            Self::Hung => "it does not answer",
            Self::TooMany => "there are too many",
        }
    }
}

impl From<Reason> for Value {
    fn from(reason: Reason) -> Self {
        reason.as_str().into()
    }
}

/// Why a file of sysfs gave nothing; `None` where the machine simply does not have it.
pub(crate) fn of_error(error: &io::Error) -> Option<Reason> {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NODEV | Errno::OPNOTSUPP) => None,
        Some(Errno::ACCESS | Errno::PERM) => Some(Reason::NoPermission),
        Some(Errno::NODATA | Errno::NXIO | Errno::AGAIN | Errno::BUSY) => Some(Reason::NoData),
        _ => Some(Reason::Error),
    }
}

/// The counter of all reasons, shared with the thread that reads sensors. It appears once there is something to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Skipped(Option<Arc<ReasonCounter>>);

impl Skipped {
    /// Lets each reason begin at 0, once.
    pub(crate) fn begin(&mut self) {
        if self.0.is_none() {
            let counter = ReasonCounter::new(&agent::SAMPLER_SKIPPED, NAME);
            counter.begin(Reason::ALL);
            self.0 = Some(Arc::new(counter));
        }
    }

    /// Counts one reading.
    pub(crate) fn add(&self, reason: Reason) {
        self.add_all(1, reason);
    }

    /// Counts several.
    pub(crate) fn add_all(&self, number: u64, reason: Reason) {
        if let Some(counter) = &self.0 {
            counter.add(number, reason);
        }
    }
}
