//! The sensor data records (SDR): what sensors there are, and how their readings become values.

mod factors;
mod name;
mod record;
mod repository;

pub(crate) use record::{Analog, Record, Scale, Thresholds, Unit};
pub(crate) use repository::{MAX_RECORDS, Repository};
