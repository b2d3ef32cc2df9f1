//! Runs the samplers and wires them to the pipeline and the exporters.

mod daemon;
mod explain;
pub mod log;
mod log_limit;
mod own_logs;
mod print;
mod readiness;
mod samplers;

pub use daemon::{DaemonError, run as run_daemon, told_to_end};
pub use explain::Explain;
pub use own_logs::OwnLogs;
pub use print::{Closed, Format, PrintError, Printer, rates};
pub use samplers::samplers;
