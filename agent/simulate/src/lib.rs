//! Real processes that write Hailo monitor files exactly as HailoRT does, for demonstrations, tests and load.
//!
//! It shares nothing with the sampler that reads such files: encoder, names and writing order are its own, so that an
//! error in one does not hide in the other.
//!
//! ```text
//! run / Demo ──► fleet ── spawns ──► writer_main ──► load ──► message ──► wire
//!                                         └────────► file
//! ```

#![forbid(unsafe_code)]

mod demo;
mod error;
mod file;
mod fleet;
mod load;
mod message;
mod options;
mod run;
mod wire;
mod writer;

pub use demo::Demo;
pub use error::SimulateError;
pub use load::{frame_rate, message};
pub use options::{Options, WriteMode};
pub use run::run;
pub use writer::{WRITER_ARGS, writer_main};
