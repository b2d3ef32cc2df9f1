//! Runs the samplers and wires them to the pipeline and the exporters.

mod daemon;
mod explain;
pub mod log;
mod log_limit;
mod own_logs;
mod print;
mod readiness;
mod samplers;
mod signals;
mod succession;

pub use daemon::run as run_daemon;
pub use explain::Explain;
pub use own_logs::OwnLogs;
pub use print::{Printer, rates};
pub use samplers::samplers;
pub use signals::terminated;
