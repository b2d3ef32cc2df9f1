//! From samplers' batches to the newest state of every series.

mod overflow;
mod store;

pub use store::{Limits, Store};
