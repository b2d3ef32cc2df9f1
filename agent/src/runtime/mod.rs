//! Runs the samplers and wires them to the pipeline and the exporters.

mod daemon;
pub(crate) mod early;
mod energy;
mod explain;
pub mod log;
mod log_limit;
mod own_logs;
mod own_names;
mod print;
mod readiness;
mod reload;
mod samplers;
mod signals;
mod start_log;
mod succession;

pub use daemon::run as run_daemon;
pub use energy::energy;
pub use explain::Explain;
pub(crate) use log_limit::{count_suppressed, show_suppressed};
pub use own_logs::OwnLogs;
pub use print::{Printer, rates};
pub use reload::Reload;
pub use samplers::samplers;
pub use signals::{Hangup, terminated};
pub use start_log::log_start;
