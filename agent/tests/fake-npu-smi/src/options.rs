//! Options of the stand-in.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::layout::Family;

/// Layout, load and failure to imitate.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Options {
    /// Layout, and with it the chips
    #[arg(long, value_enum, default_value = "hbm")]
    pub family: Family,
    /// Cards; those of the a3 families have two chips each
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub cards: u32,
    /// Id of the first NPU
    #[arg(long, value_name = "ID", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=65535))]
    pub first_npu: u32,
    /// Processes that use the chips, assigned round-robin; the tool prints at most eight of a chip
    #[arg(long, value_name = "PID,...", value_delimiter = ',')]
    pub pids: Vec<u32>,
    /// Failure to imitate
    #[arg(long, value_enum, value_name = "HOW", default_value = "none")]
    pub fault: Fault,
    /// Delay before the output, e.g. 12s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub delay: Duration,
    /// File to append a line with the arguments to at each start, e.g. to count the calls
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

impl Default for Options {
    /// Two idle cards of today's layout.
    fn default() -> Self {
        Self {
            family: Family::Hbm,
            cards: 2,
            first_npu: 0,
            pids: Vec::new(),
            fault: Fault::None,
            delay: Duration::ZERO,
            log: None,
        }
    }
}

/// Failure to imitate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// No failure
    None,
    /// Never end, with a child that does not end either
    Hang,
    /// The driver is not loaded (-8005)
    NoDriver,
    /// Another container owns the device (-8020)
    InUse,
    /// One chip does not answer: no table
    DeadChip,
    /// There is no card
    NoCard,
    /// The first chip has a health that the tool does not know: its card's row is missing
    Orphan,
    /// Every read fails: zeros
    Zeros,
    /// The table, and a warning that the driver's installation is not complete
    Incomplete,
    /// Bytes of the table are changed at random
    Garble,
    /// The table stops in the middle
    Torn,
    /// Print without end
    Flood,
    /// A table of no known layout
    Unknown,
}
