//! Data of one output of `npu-smi info`.

use std::collections::BTreeMap;

use super::error::ToolError;
use accelscope_core::metric::{Attribute, Instrument, Value};

/// One output of `npu-smi info`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Version of the tool.
    pub tool_version: Option<String>,
    /// Version of the driver; it can differ from the tool's.
    pub driver_version: Option<String>,
    /// The chips in the order of their rows, at most one for each chip row.
    pub chips: Vec<Chip>,
    /// The processes in the order of their rows. The tool prints at most [`Self::MAX_PROCESSES`] of a chip.
    pub processes: Vec<Process>,
    /// Whether the output had a process table: without one, nothing is known about processes.
    pub has_process_table: bool,
    /// The tool warned that the driver's installation is incomplete.
    pub driver_incomplete: bool,
    /// An error that the tool printed beside the chips: others are missing.
    pub error: Option<ToolError>,
    /// Values that were malformed or failed to be read, by column.
    pub skipped: Skipped,
}

impl Table {
    /// Most processes of one chip that the tool prints (`MAX_CHIP_PROCESS_NUM`, `npu_common.h` of the driver's source).
    pub const MAX_PROCESSES: usize = 8;
}

/// Number of values left out, by reason, which can be the name of a column.
pub type Skipped = BTreeMap<&'static str, u32>;

/// Counts one more value that is left out.
pub(super) fn count(skipped: &mut Skipped, reason: &'static str) {
    *skipped.entry(reason).or_default() += 1;
}

/// One chip: a row of its card, and one of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chip {
    /// Id of the NPU (the card), neither dense nor small. Absent where it is masked and for an [orphan](Self::orphan).
    pub npu: Option<u32>,
    /// Id of the chip on its NPU. A 950 has one chip, which the table does not number; it is 0, as `info -m` has it.
    pub chip: Option<u32>,
    /// The chip row came without the card row before it. The tool leaves that out when the driver returns a health that
    /// the tool does not know: the device is absent or has not started (`npu_info_print.c` of the driver's source).
    pub orphan: bool,
    /// Model, e.g. `910B3`.
    pub name: Option<String>,
    /// Health.
    pub health: Option<Health>,
    /// Power in watts. A card with two chips has it at the first one only.
    pub power_watts: Option<f64>,
    /// Temperature in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Huge pages, in pages.
    pub hugepages: Usage,
    /// Logical id, where the table gives it (column `Device`).
    pub logical_id: Option<u32>,
    /// Physical id: the number of its `/dev/davinci<N>`, where the table gives it (column `Phy-ID`).
    pub physical_id: Option<u32>,
    /// PCI address. Not unique: the chips of one card can share it.
    pub bus_id: Option<String>,
    /// AI Core utilization in percent, 0 to 100.
    pub aicore_percent: Option<f64>,
    /// AI CPU utilization in percent, 0 to 100.
    pub aicpu_percent: Option<f64>,
    /// Utilization of the NPU as a whole in percent, 0 to 100: another quantity than that of the AI Cores.
    pub npu_percent: Option<f64>,
    /// DDR memory in bytes.
    pub ddr: Usage,
    /// HBM in bytes.
    pub hbm: Usage,
    /// Whether its processes could not be listed, where those of other chips were.
    pub hides_processes: bool,
    /// What the tool does not print, and the driver's library reports.
    pub more: Vec<More>,
}

/// A value that is published as it was read: instrument, attributes beside those of the chip, and value.
pub type More = (&'static Instrument, Vec<Attribute>, Value);

/// `used / total`; each absent where the tool gave none. A total of zero, which a failed read and a kind of memory that
/// the chip lacks both print, leaves both absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Amount in use.
    pub used: Option<u64>,
    /// Total.
    pub limit: Option<u64>,
}

/// Health of a chip, in the vendor's five words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Health {
    /// `OK`.
    Ok,
    /// `Warning`: a minor alarm.
    Warning,
    /// `Alarm`: a major alarm. Some boards report it permanently because one of their sensors fails.
    Alarm,
    /// `Critical`.
    Critical,
    /// `UNKNOWN`: the query failed.
    Unknown,
}

impl Health {
    /// All values.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Warning, Self::Alarm, Self::Critical, Self::Unknown];

    /// The vendor's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "Warning",
            Self::Alarm => "Alarm",
            Self::Critical => "Critical",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The health that the vendor's word names; case does not matter.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|health| health.as_str().eq_ignore_ascii_case(word))
    }
}

/// Use of a chip by a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Id of the NPU.
    pub npu: u32,
    /// Id of the chip on that NPU.
    pub chip: u32,
    /// Process id: in the node's PID namespace if the tool runs as root in a privileged container or outside any.
    pub pid: u32,
    /// Process id in its own container, where the table gives it.
    pub pid_in_container: Option<u32>,
    /// The kernel's `comm` of the process, at most 15 bytes; absent where the tool could not see the process.
    pub name: Option<String>,
    /// Memory in bytes: the process's own and that of the device's system together, so that the sum over processes can
    /// exceed the memory in use.
    pub memory: Option<u64>,
}
