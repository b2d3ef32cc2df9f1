//! Real processes that write Hailo monitor files exactly as HailoRT does, for demonstrations, tests and load.
//!
//! With the sampler that reads such files it shares only the generated types of the message, which tests on both sides
//! compare with what Google's protobuf writes; names and writing order are its own.
//!
//! ```text
//! run / Demo ──► fleet ── spawns ──► writer_main ──► load
//!                                         └────────► file
//! ```

#![forbid(unsafe_code)]

mod demo;
mod error;
mod file;
mod fleet;
mod load;
mod options;
mod run;
mod writer;

pub use demo::Demo;
pub use error::SimulateError;
pub use load::{frame_rate, message};
pub use options::{Options, WriteMode};
pub use run::run;
pub use writer::{WRITER_ARGS, writer_main};
