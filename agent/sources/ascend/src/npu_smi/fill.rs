//! From a row's fields to a chip or process.

use super::column::Column;
use super::row::Field;
use super::table::{Chip, Health, Skipped};
use super::value::{self, Lost, is_absent};

pub(super) fn count(skipped: &mut Skipped, reason: &'static str) {
    *skipped.entry(reason).or_default() += 1;
}

/// The value, or nothing and a count.
fn keep<T>(read: Result<Option<T>, Lost>, column: Column, skipped: &mut Skipped) -> Option<T> {
    read.unwrap_or_else(|lost| {
        let reason = match (lost, column) {
            (Lost::Zero, Column::Power) => "power_zero",
            (Lost::Zero, Column::Temperature) => "temperature_zero",
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
                let usage = |read: Result<_, Lost>, skipped: &mut Skipped| {
                    keep(read.map(Some), column, skipped).unwrap_or_default()
                };
                match column {
                    Column::Power => self.power_watts = keep(value::watts(&item), column, skipped),
                    Column::Temperature => self.temperature_celsius = keep(value::celsius(&item), column, skipped),
                    Column::AiCore => self.aicore_percent = keep(value::percent(&item), column, skipped),
                    Column::AiCpu => self.aicpu_percent = keep(value::percent(&item), column, skipped),
                    Column::NpuUtilization => self.npu_percent = keep(value::percent(&item), column, skipped),
                    Column::Hugepages => self.hugepages = usage(value::pages(&item), skipped),
                    Column::Ddr => self.ddr = usage(value::megabytes(&item), skipped),
                    Column::Hbm => self.hbm = usage(value::megabytes(&item), skipped),
                    _ => count(skipped, column.as_str()),
                }
            }
            Field::Lost => count(skipped, column.as_str()),
        }
    }

    fn set_text(&mut self, column: Column, text: &str, skipped: &mut Skipped) {
        let words = || (!is_absent(text)).then(|| text.to_owned());
        match column {
            Column::Npu => self.npu = keep(value::whole(text), column, skipped),
            Column::Chip => self.chip = keep(value::whole(text), column, skipped),
            Column::LogicalId => self.logical_id = keep(value::whole(text), column, skipped),
            Column::PhysicalId => self.physical_id = keep(value::whole(text), column, skipped),
            Column::Name => self.name = words(),
            Column::Bus => self.bus_id = keep(value::bus(text), column, skipped),
            Column::Health => {
                let health = Health::of_word(text).map(Some);
                self.health = keep(health.ok_or(Lost::Strange), column, skipped);
            }
            _ => count(skipped, column.as_str()),
        }
    }

    /// For a chip that the tool gives no memory at all.
    pub(super) fn forget_failed_utilization(&mut self, skipped: &mut Skipped) {
        for percent in [&mut self.aicore_percent, &mut self.aicpu_percent, &mut self.npu_percent] {
            if percent.take_if(|percent| *percent == 0.0).is_some() {
                count(skipped, "utilization_zero");
            }
        }
    }
}

/// A process's row, as far as it was understood.
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
            Column::Npu => self.npu = keep(value::whole(text), column, skipped),
            Column::Chip => self.chip = keep(value::whole(text), column, skipped),
            Column::ProcessId => self.pid = keep(value::whole(text), column, skipped),
            Column::ProcessIdInContainer => self.pid_in_container = keep(value::whole(text), column, skipped),
            Column::ProcessMemory => self.memory = keep(value::bytes_of_megabytes(text), column, skipped),
            Column::ProcessName => self.name = (!text.is_empty()).then(|| text.to_owned()),
            _ => count(skipped, column.as_str()),
        }
    }
}
