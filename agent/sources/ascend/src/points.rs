//! Points from a table.

use crate::key;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::energy::Energy;
use super::identity::{ChipKey, Node};
use super::npu_smi::{Chip, Health, Process, Skipped, Table, Usage};
use crate::catalogue as ascend;
use accelscope_core::host::HostRoots;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Attribute, Attributes, Instrument, Moment, Owner, Point, ProcessKey, Timestamp, Value};

pub(super) fn hw_type() -> Attribute {
    (key::HW_TYPE, "npu".into())
}

/// Converts tables to points; keeps the energy of each chip between tables.
#[derive(Debug)]
pub(super) struct Points {
    node: Node,
    processes: Processes,
    energy: Energy<ChipKey>,
}

/// Collects the points of one chip.
struct ChipPoints<'a> {
    attributes: Arc<Attributes>,
    time: Timestamp,
    to: &'a mut Vec<Point>,
}

impl Points {
    /// Power of a chip over more than `longest_gap` adds nothing to its energy.
    pub(super) fn new(roots: &HostRoots, node_name: String, longest_gap: Duration) -> Self {
        Self {
            node: Node::new(roots, node_name),
            processes: Processes::new(roots),
            energy: Energy::new(longest_gap),
        }
    }

    /// The points of a table. Values that cannot become points are counted in `skipped`.
    pub(super) fn build(&mut self, table: &Table, now: Moment, skipped: &mut Skipped) -> Vec<Point> {
        let mut labels: HashMap<ChipKey, Arc<Attributes>> = HashMap::new();
        let mut points = Vec::new();
        for (row, chip) in table.chips.iter().enumerate() {
            let mut key = ChipKey::of(chip, row);
            if labels.contains_key(&key) {
                *skipped.entry("chip_twice").or_default() += 1;
                key = ChipKey::Row(row);
            }
            let label = Arc::new(self.label(&key, chip.npu, chip.chip));
            labels.insert(key.clone(), Arc::clone(&label));
            let mut chip_points = ChipPoints {
                attributes: label,
                time: now.wall,
                to: &mut points,
            };
            chip_points.device(table, chip);
            chip_points.health(chip);
            chip_points.load(chip);
            if let Some(watts) = chip.power_watts {
                let (joules, start) = self.energy.add(key, watts, now.instant, now.wall);
                let attributes = [hw_type(), (key::ACCEL_DERIVED, true.into())];
                chip_points.push_since(Some(start), &hw::ENERGY, attributes, joules);
            }
            for (instrument, attributes, value) in &chip.more {
                // The boot is the lower bound of the start: the driver does not report when the device started.
                let boot = || self.processes.boot_time().unwrap_or(now.wall);
                let start = instrument.kind.is_cumulative().then(boot);
                chip_points.push_since(start, instrument, attributes.iter().cloned(), value.clone());
            }
        }
        self.energy.retain(|chip| labels.contains_key(chip));
        if table.has_process_table {
            self.processes(table, &mut labels, now.wall, &mut points, skipped);
        }
        points
    }

    fn label(&self, key: &ChipKey, npu: Option<u32>, chip: Option<u32>) -> Attributes {
        let ids = [(key::ASCEND_NPU_ID, npu), (key::ASCEND_CHIP_ID, chip)];
        let ids = ids.into_iter().filter_map(|(key, id)| Some((key, id?.into())));
        Attributes::new(ids.chain([(key::HW_ID, self.node.hw_id(key).into())]))
    }

    fn processes(
        &self,
        table: &Table,
        labels: &mut HashMap<ChipKey, Arc<Attributes>>,
        time: Timestamp,
        to: &mut Vec<Point>,
        skipped: &mut Skipped,
    ) {
        let mut counts: BTreeMap<(u32, u32), i64> = table
            .chips
            .iter()
            .filter(|chip| !chip.hides_processes)
            .filter_map(|chip| Some(((chip.npu?, chip.chip?), 0)))
            .collect();
        for process in &table.processes {
            let ids = (process.npu, process.chip);
            *counts.entry(ids).or_default() += 1;
            let key = ChipKey::Ids(ids.0, ids.1);
            let label = labels
                .entry(key.clone())
                .or_insert_with(|| self.label(&key, Some(ids.0), Some(ids.1)).into());
            if let Some(bytes) = process.memory {
                to.push(self.of_process(process, label, bytes, time, skipped));
            }
        }
        for ((npu, chip), count) in counts {
            if let Some(label) = labels.get(&ChipKey::Ids(npu, chip)) {
                to.push(Point::new(&ascend::PROCESS_COUNT, Arc::clone(label), count, time));
            }
        }
    }

    fn of_process(
        &self,
        process: &Process,
        label: &Arc<Attributes>,
        bytes: u64,
        time: Timestamp,
        skipped: &mut Skipped,
    ) -> Point {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let owner = self.owner(process).map(|process| Owner::Process {
            process,
            always_pid: true,
        });
        let attributes = if owner.is_some() {
            Arc::clone(label)
        } else {
            *skipped.entry("process_not_found").or_default() += 1;
            let pid = (key::PROCESS_PID, process.pid.into());
            let name = process.name.as_deref();
            let name = name.map(|name| (key::PROCESS_EXECUTABLE_NAME, name.into()));
            label.with([pid].into_iter().chain(name)).into()
        };
        Point {
            owner,
            ..Point::new(&accel::PROCESS_MEMORY_USAGE, attributes, bytes, time)
        }
    }

    /// The process with this id, if it has the name in the table. If it has another, the id is from another PID
    /// namespace, and the usage would be attributed to the wrong process.
    fn owner(&self, process: &Process) -> Option<ProcessKey> {
        let found = self.processes.key(process.pid).ok()?;
        match &process.name {
            Some(name) => {
                let command = self.processes.command_name(process.pid).ok()?;
                (command.trim() == name).then_some(found)
            }
            None => Some(found),
        }
    }
}

impl ChipPoints<'_> {
    fn push(&mut self, instrument: &'static Instrument, value: impl Into<Value>) {
        let attributes = Arc::clone(&self.attributes);
        self.to.push(Point::new(instrument, attributes, value, self.time));
    }

    fn push_with(
        &mut self,
        instrument: &'static Instrument,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        self.push_since(None, instrument, more, value);
    }

    fn push_since(
        &mut self,
        start: Option<Timestamp>,
        instrument: &'static Instrument,
        more: impl IntoIterator<Item = Attribute>,
        value: impl Into<Value>,
    ) {
        self.to.push(Point {
            start,
            ..Point::new(instrument, self.attributes.with(more), value, self.time)
        });
    }

    fn usage(&mut self, usage: Usage, instruments: [&'static Instrument; 2], more: Option<Attribute>) {
        for (instrument, amount) in instruments.into_iter().zip([usage.used, usage.limit]) {
            if let Some(amount) = amount.and_then(|amount| i64::try_from(amount).ok()) {
                self.push_with(instrument, more.clone(), amount);
            }
        }
    }

    fn device(&mut self, table: &Table, chip: &Chip) {
        let texts = [
            (key::HW_MODEL, chip.name.clone()),
            (key::HW_NAME, chip.physical_id.map(|id| format!("davinci{id}"))),
            (key::HW_DRIVER_VERSION, table.driver_version.clone()),
            (key::ASCEND_TOOL_VERSION, table.tool_version.clone()),
            (
                key::ACCEL_DEVICE_ADDRESS,
                chip.bus_id.as_deref().map(str::to_ascii_lowercase),
            ),
        ];
        let ids = [
            (key::ASCEND_LOGICAL_ID, chip.logical_id),
            (key::ASCEND_PHYSICAL_ID, chip.physical_id),
        ];
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text?.into())));
        let ids = ids.into_iter().filter_map(|(key, id)| Some((key, id?.into())));
        let vendor = (key::HW_VENDOR, "Huawei".into());
        self.push_with(&ascend::DEVICE_INFO, texts.chain(ids).chain([vendor]), 1i64);
    }

    fn health(&mut self, chip: &Chip) {
        if let Some(health) = chip.health {
            for other in Health::ALL {
                let attribute = (key::ASCEND_HEALTH, other.as_str().into());
                self.push_with(&ascend::HEALTH_STATUS, [attribute], i64::from(other == health));
            }
        }
        let state = match chip.health {
            Some(Health::Ok) => "ok",
            Some(Health::Warning | Health::Alarm) => "degraded",
            Some(Health::Critical) => "failed",
            // The driver returned a health that the tool does not know: the device is absent or has not started.
            None if chip.orphan => "failed",
            Some(Health::Unknown) | None => return,
        };
        for other in ["ok", "degraded", "failed"] {
            let attributes = [hw_type(), (key::HW_STATE, other.into())];
            self.push_with(&hw::STATUS, attributes, i64::from(other == state));
        }
    }

    fn load(&mut self, chip: &Chip) {
        if let Some(watts) = chip.power_watts {
            self.push_with(&hw::POWER, [hw_type()], watts);
        }
        let values = [
            (&hw::TEMPERATURE, chip.temperature_celsius),
            (
                &hw::NPU_UTILIZATION,
                chip.npu_percent.or(chip.aicore_percent).map(ratio),
            ),
            (&ascend::AICORE_UTILIZATION, chip.aicore_percent.map(ratio)),
            (&ascend::AICPU_UTILIZATION, chip.aicpu_percent.map(ratio)),
            (&ascend::NPU_UTILIZATION, chip.npu_percent.map(ratio)),
        ];
        for (instrument, value) in values {
            if let Some(value) = value {
                self.push(instrument, value);
            }
        }
        for (kind, memory) in [("hbm", chip.hbm), ("ddr", chip.ddr)] {
            let kind = (key::ASCEND_MEMORY_TYPE, kind.into());
            self.usage(memory, [&hw::NPU_MEMORY_USAGE, &hw::NPU_MEMORY_LIMIT], Some(kind));
        }
        let pages = [&ascend::HUGEPAGES_USAGE, &ascend::HUGEPAGES_LIMIT];
        self.usage(chip.hugepages, pages, None);
    }
}

fn ratio(percent: f64) -> f64 {
    percent / 100.0
}
