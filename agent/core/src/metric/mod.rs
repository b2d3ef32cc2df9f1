//! The one data model: instruments, attributes, points and batches.
//!
//! Everything that leaves the agent, on any wire, is a [`Point`] of an [`Instrument`] of the [`catalogue`]. Nothing here knows a vendor, a wire format or a clock source.

mod attributes;
mod batch;
pub mod catalogue;
mod counter_start;
mod instrument;
pub mod key;
mod moment;
mod point;
mod resource;
mod series;
mod source;
mod timestamp;

pub use attributes::{Attribute, AttributeValue, Attributes, MAX_VALUE_BYTES};
pub use batch::{Batch, Part};
pub use counter_start::CounterStarts;
pub use instrument::{Instrument, Kind, Merge, Stability};
pub use moment::Moment;
pub use point::{CgroupOwner, Histogram, Owner, Point, ProcessKey, Value};
pub use resource::Resource;
pub use series::{Collected, Series, SeriesKey};
pub use source::MetricsSource;
pub use timestamp::Timestamp;
