//! One reading.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Attributes, Instrument, Timestamp};
use crate::cgroup::Cgroup;

/// One reading of one series.
#[derive(Debug, Clone)]
pub struct Point {
    /// What was read.
    pub instrument: &'static Instrument,
    /// Of which series; the owner's attributes are added by attribution.
    pub attributes: Arc<Attributes>,
    /// The process or control group that it belongs to, where [`Instrument::owned`].
    pub owner: Option<Owner>,
    /// The value. Never NaN or infinite, never a vendor's sentinel.
    pub value: Value,
    /// When it was read from the device, file or kernel.
    pub time: Timestamp,
    /// Since when a cumulative value has been growing; absent for gauges.
    pub start: Option<Timestamp>,
}

impl Point {
    /// A value of no process and without a start.
    pub fn new(
        instrument: &'static Instrument,
        attributes: impl Into<Arc<Attributes>>,
        value: impl Into<Value>,
        time: Timestamp,
    ) -> Self {
        Self {
            instrument,
            attributes: attributes.into(),
            owner: None,
            value: value.into(),
            time,
            start: None,
        }
    }
}

/// A point's value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A finite number.
    Double(f64),
    /// A distribution.
    Histogram(Arc<Histogram>),
}

impl Value {
    /// The number as floating point; a histogram has none.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Histogram(_) => None,
        }
    }

    /// Whether it may leave the agent: finite, and a histogram's buckets one more than its instrument's bounds.
    pub fn is_valid_for(&self, instrument: &Instrument) -> bool {
        use super::Kind;
        match (self, instrument.kind) {
            (Self::Histogram(h), Kind::Histogram(bounds)) => h.buckets.len() == bounds.len() + 1 && h.sum.is_finite(),
            (Self::Histogram(_), _) | (_, Kind::Histogram(_)) => false,
            (Self::Double(number), _) => number.is_finite(),
            (Self::Int(_), _) => true,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Double(number)
    }
}

/// A cumulative explicit-bucket histogram. The bounds are its instrument's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// How many observations.
    #[serde(skip)]
    pub count: u64,
    /// Their sum, in the instrument's unit.
    pub sum: f64,
    /// Observations by bucket, one more than there are bounds.
    pub buckets: Box<[u64]>,
}

/// Owner of a reading. Attribution turns it into the attributes of process, container and pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A process. `per_process` readings always carry its pid, because the driver itself reports them by process.
    Process {
        /// Which one.
        process: ProcessKey,
        /// Whether its pid is part of the series also without `attribution.per_process`.
        always_pid: bool,
    },
    /// A process as the kernel captured it when it made a call; it may have ended long ago.
    Cgroup(Arc<CgroupOwner>),
    /// What processes are in together, a container, job or unit, and none of them.
    Within(Arc<Cgroup>),
    /// After attribution: what the process is in at the outermost, if room for series is shared by it.
    Outermost(Arc<str>),
}

/// An owner as the kernel captured it.
///
/// Two are the same when everything but [`process`](Self::process) is; that too where it is [`alone`](Self::alone).
#[derive(Debug, Clone)]
pub struct CgroupOwner {
    /// Id of its control group in the unified hierarchy; 0 if there is none.
    pub unified: u64,
    /// Its control group in the first v1 hierarchy in which that is not the root, as
    /// [`CgroupId::captured`](crate::host::cgroups::CgroupId::captured) has it; 0 if there is none.
    pub legacy: u64,
    /// Base name of its executable.
    pub executable: Arc<str>,
    /// Its process id where that is part of the series.
    pub pid: Option<u32>,
    /// The owner is this one process, not every process of its executable: its control groups are only roots, or each
    /// process is shown by itself.
    pub alone: bool,
    /// A process of that owner, whose `/proc` may be read while it lives.
    pub process: Option<ProcessKey>,
}

impl CgroupOwner {
    fn identity(&self) -> (u64, u64, &str, Option<u32>, Option<ProcessKey>) {
        let process = self.process.filter(|_| self.alone);
        (self.unified, self.legacy, &self.executable, self.pid, process)
    }
}

impl PartialEq for CgroupOwner {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for CgroupOwner {}

impl Hash for CgroupOwner {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// A process that a reused pid cannot be confused with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessKey {
    /// In the node's PID namespace.
    pub pid: u32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks since boot.
    pub start_ticks: u64,
}
