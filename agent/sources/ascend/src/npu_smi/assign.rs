//! Assigns a row's fields to a chip or process.

use super::column::Column;
use super::row::Field;
use super::table::{Chip, Health, Process, Skipped, count};
use super::value::{self, ValueError, is_absent};

/// The value; an error is counted and leaves it absent.
fn checked<T>(read: Result<Option<T>, ValueError>, column: Column, skipped: &mut Skipped) -> Option<T> {
    read.unwrap_or_else(|error| {
        let reason = match (error, column) {
            (ValueError::Zero, Column::Power) => "power_zero",
            (ValueError::Zero, Column::Temperature) => "temperature_zero",
            _ => column.as_str(),
        };
        count(skipped, reason);
        None
    })
}

impl Chip {
    pub(super) fn set(&mut self, column: Column, field: Field<'_>, skipped: &mut Skipped) {
        match field {
            Field::Text(text) => self.set_text(column, text, skipped),
            Field::Item(item) => {
                let usage = |read: Result<_, ValueError>, skipped: &mut Skipped| {
                    checked(read.map(Some), column, skipped).unwrap_or_default()
                };
                match column {
                    Column::Power => self.power_watts = checked(value::watts(&item), column, skipped),
                    Column::Temperature => self.temperature_celsius = checked(value::celsius(&item), column, skipped),
                    Column::AiCore => self.aicore_percent = checked(value::percent(&item), column, skipped),
                    Column::AiCpu => self.aicpu_percent = checked(value::percent(&item), column, skipped),
                    Column::NpuUtilization => self.npu_percent = checked(value::percent(&item), column, skipped),
                    Column::Hugepages => self.hugepages = usage(value::pages(&item), skipped),
                    Column::Ddr => self.ddr = usage(value::memory(&item), skipped),
                    Column::Hbm => self.hbm = usage(value::memory(&item), skipped),
                    _ => count(skipped, column.as_str()),
                }
            }
            Field::Ambiguous => count(skipped, column.as_str()),
        }
    }

    fn set_text(&mut self, column: Column, text: &str, skipped: &mut Skipped) {
        let text_or_absent = || (!is_absent(text)).then(|| text.to_owned());
        match column {
            Column::Npu => self.npu = checked(value::integer(text), column, skipped),
            Column::Chip => self.chip = checked(value::integer(text), column, skipped),
            Column::LogicalId => self.logical_id = checked(value::integer(text), column, skipped),
            Column::PhysicalId => self.physical_id = checked(value::integer(text), column, skipped),
            Column::Name => self.name = text_or_absent(),
            Column::Bus => self.bus_id = checked(value::bus(text), column, skipped),
            Column::Health => {
                let health = Health::of_word(text).map(Some);
                self.health = checked(health.ok_or(ValueError::Malformed), column, skipped);
            }
            _ => count(skipped, column.as_str()),
        }
    }

    /// Removes utilizations of zero: those of a chip for which the tool printed no memory at all are failed reads.
    pub(super) fn drop_zero_utilization(&mut self, skipped: &mut Skipped) {
        for percent in [&mut self.aicore_percent, &mut self.aicpu_percent, &mut self.npu_percent] {
            if percent.take_if(|percent| *percent == 0.0).is_some() {
                count(skipped, "utilization_zero");
            }
        }
    }
}

/// A row of the process table, as far as it could be parsed.
#[derive(Debug, Default)]
pub(super) struct ProcessRow {
    pub(super) npu: Option<u32>,
    pub(super) chip: Option<u32>,
    pub(super) pid: Option<u32>,
    pub(super) pid_in_container: Option<u32>,
    pub(super) name: Option<String>,
    pub(super) memory: Option<u64>,
}

impl ProcessRow {
    pub(super) fn set(&mut self, column: Column, field: Field<'_>, skipped: &mut Skipped) {
        let Field::Text(text) = field else {
            return count(skipped, column.as_str());
        };
        match column {
            Column::Npu => self.npu = checked(value::integer(text), column, skipped),
            Column::Chip => self.chip = checked(value::integer(text), column, skipped),
            Column::ProcessId => self.pid = checked(value::integer(text), column, skipped),
            Column::ProcessIdInContainer => self.pid_in_container = checked(value::integer(text), column, skipped),
            Column::ProcessMemory => self.memory = checked(value::memory_size(text), column, skipped),
            Column::ProcessName => self.name = (!text.is_empty()).then(|| text.to_owned()),
            _ => count(skipped, column.as_str()),
        }
    }

    /// The process, if the row names its chip and its id.
    pub(super) fn into_process(self) -> Option<Process> {
        Some(Process {
            npu: self.npu?,
            chip: self.chip?,
            pid: self.pid.filter(|pid| *pid != 0)?,
            pid_in_container: self.pid_in_container,
            name: self.name,
            memory: self.memory,
        })
    }
}
