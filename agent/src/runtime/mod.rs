//! Runs the samplers and wires them to the pipeline and the exporters.

mod daemon;
mod explain;
mod hub;
mod intake;
pub mod log;
mod own_logs;
mod print;
mod readiness;
mod samplers;
mod start;
mod status;
mod table;
pub mod worker;

pub(crate) use daemon::is_hangup_ignored;
pub use daemon::{DaemonError, run as run_daemon, told_to_end};
pub use explain::Explain;
pub use hub::{Hub, Observer};
pub use own_logs::OwnLogs;
pub use print::{Closed, Format, PrintError, Printer};
pub use start::Started;
pub use status::{Report, Status, chain};
pub use table::{Surroundings, samplers};
