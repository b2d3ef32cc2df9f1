//! A series as exporters see it.

use std::borrow::Borrow;
use std::sync::Arc;

use super::{Attributes, Instrument, Timestamp, Value};

/// Identity of a series: what is measured, and all its attributes.
pub type SeriesKey = (&'static Instrument, Arc<Attributes>);

/// The newest state of one series.
#[derive(Debug, Clone)]
pub struct Series {
    /// What is measured.
    pub instrument: &'static Instrument,
    /// All its attributes, the owner's included.
    pub attributes: Arc<Attributes>,
    /// Its newest value; `None` once when it has ended.
    pub value: Option<Value>,
    /// When that was read, or when it ended.
    pub time: Timestamp,
    /// Since when a cumulative value has been growing.
    pub start: Option<Timestamp>,
}

/// A series to be pushed, with whose it is.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The series.
    pub series: Series,
    /// The pod, batch job, container or user whose room it takes; none of the agent's own series and those of the hardware.
    pub workload: Option<Arc<str>>,
}

impl Borrow<Series> for Collected {
    fn borrow(&self) -> &Series {
        &self.series
    }
}
