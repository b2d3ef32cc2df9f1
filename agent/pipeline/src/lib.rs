//! From samplers' batches to the newest state of every series: the threads of the samplers, attribution of their points
//! to processes, containers and pods, aggregation, and the store that exporters read.

#![forbid(unsafe_code)]

mod aggregation;
mod arithmetic;
pub mod attribution;
mod check_times;
mod cumulative;
mod ends;
pub mod energy;
mod overflow;
mod owner;
mod pipeline;
mod pulse;
mod registry;
mod sampler_thread;
mod share;
mod sizes;
mod start;
mod status;
mod store;
#[cfg(test)]
mod test_support;

pub use pulse::Stall;
pub use registry::SeriesRegistry;
pub use start::Started;
pub use status::{Found, Report, Status};
pub use store::{Limits, Observer, Store};
