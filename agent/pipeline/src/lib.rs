//! From samplers' batches to the newest state of every series: the threads of the samplers, attribution of their points
//! to processes, containers and pods, aggregation, and the store that exporters read.

pub mod attribution;
mod hub;
mod intake;
mod overflow;
mod samplers;
mod start;
mod status;
mod store;

pub use hub::{Hub, Observer};
pub use start::Started;
pub use status::{Report, Status};
pub use store::{Limits, Store};
