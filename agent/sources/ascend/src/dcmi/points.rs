//! Conversion of readings to points: those that `npu-smi` has too, then those of the library alone.

use crate::key;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::EccInfo;
use super::read::{ChipReading, DcmiValues};
use crate::catalogue as ascend;
use crate::identity::ChipKey;
use crate::npu_smi::{Skipped, Table};
use crate::points::{Points, hw_type, point};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::catalogue::{accel, hw};
use accelscope_core::metric::{Attribute, Attributes, CounterStarts, Instrument, Moment, Point, Timestamp, Value};

/// Instruments of this backend.
pub(super) static INSTRUMENTS: [&Instrument; 27] = [
    &ascend::DEVICE_INFO,
    &ascend::HEALTH_STATUS,
    &ascend::AICORE_UTILIZATION,
    &ascend::AICPU_UTILIZATION,
    &ascend::NPU_UTILIZATION,
    &ascend::VECTOR_UTILIZATION,
    &ascend::CUBE_UTILIZATION,
    &ascend::CONTROL_CPU_UTILIZATION,
    &ascend::HUGEPAGES_USAGE,
    &ascend::HUGEPAGES_LIMIT,
    &ascend::MEMORY_BANDWIDTH_UTILIZATION,
    &ascend::MEMORY_TEMPERATURE,
    &ascend::CLOCK_FREQUENCY,
    &ascend::CLOCK_FREQUENCY_LIMIT,
    &ascend::ECC_LIFETIME_ERRORS,
    &ascend::ECC_ISOLATED_PAGES,
    &ascend::PROCESS_COUNT,
    &hw::NPU_UTILIZATION,
    &hw::NPU_MEMORY_USAGE,
    &hw::NPU_MEMORY_LIMIT,
    &hw::POWER,
    &hw::ENERGY,
    &hw::TEMPERATURE,
    &hw::VOLTAGE,
    &hw::ERRORS,
    &hw::STATUS,
    &accel::PROCESS_MEMORY_USAGE,
];

/// State that is kept between readings.
#[derive(Debug)]
pub(super) struct Builder {
    points: Points,
    processes: Processes,
    starts: CounterStarts,
}

impl Builder {
    pub(super) fn new(points: Points, processes: Processes) -> Self {
        Self {
            points,
            processes,
            starts: CounterStarts::default(),
        }
    }

    /// All points of these readings; values that cannot be published are counted in `skipped`.
    pub(super) fn build(
        &mut self,
        readings: Vec<ChipReading>,
        driver_version: Option<String>,
        now: Moment,
        skipped: &mut BTreeMap<String, u64>,
    ) -> Vec<Point> {
        let mut table = Table {
            driver_version,
            ..Table::default()
        };
        let mut mores = Vec::with_capacity(readings.len());
        let mut without_processes = Vec::new();
        for reading in readings {
            let (Some(npu), Some(chip)) = (reading.chip.npu, reading.chip.chip) else {
                continue;
            };
            let label = self.points.label(&ChipKey::Ids(npu, chip), Some(npu), Some(chip));
            match reading.processes {
                Some(processes) => {
                    table.has_process_table = true;
                    table.processes.extend(processes);
                }
                None => without_processes.push(label.clone()),
            }
            table.chips.push(reading.chip);
            mores.push((label, reading.more));
        }
        let mut lost = Skipped::new();
        let mut points = self.points.build(&table, now, &mut lost);
        for (reason, count) in lost {
            *skipped.entry(reason.to_owned()).or_default() += u64::from(count);
        }
        // If a chip's processes are unknown, it has no process count.
        points.retain(|point| {
            *point.instrument != ascend::PROCESS_COUNT || !without_processes.contains(&*point.attributes)
        });
        for (label, more) in mores {
            self.more(&label, &more, now.wall, &mut points);
        }
        points
    }

    fn more(&mut self, label: &Attributes, more: &DcmiValues, time: Timestamp, to: &mut Vec<Point>) {
        let ratio = |percent: Option<f64>| percent.map(|percent| percent / 100.0);
        let values = [
            (&hw::VOLTAGE, more.volts),
            (&ascend::NPU_UTILIZATION, ratio(more.npu_percent)),
            (&ascend::VECTOR_UTILIZATION, ratio(more.vector_percent)),
            (&ascend::CUBE_UTILIZATION, ratio(more.cube_percent)),
            (&ascend::CONTROL_CPU_UTILIZATION, ratio(more.control_cpu_percent)),
        ];
        let mut push = |instrument, more: Vec<Attribute>, value: Value| {
            to.push(point(instrument, label.with(more).into(), value, time));
        };
        for (instrument, value) in values {
            if let Some(value) = value {
                push(instrument, Vec::new(), value.into());
            }
        }
        let memory = |name: &'static str| (key::ASCEND_MEMORY_TYPE, name.into());
        if let Some(celsius) = more.hbm_celsius {
            push(&ascend::MEMORY_TEMPERATURE, vec![memory("hbm")], celsius.into());
        }
        for (name, percent) in &more.bandwidth_percent {
            let value = (percent / 100.0).into();
            push(&ascend::MEMORY_BANDWIDTH_UTILIZATION, vec![memory(name)], value);
        }
        let clocks = [
            (&ascend::CLOCK_FREQUENCY, &more.hertz),
            (&ascend::CLOCK_FREQUENCY_LIMIT, &more.most_hertz),
        ];
        for (instrument, clocks) in clocks {
            for (name, hertz) in clocks {
                push(instrument, vec![(key::ASCEND_CLOCK, (*name).into())], (*hertz).into());
            }
        }
        for (name, counts) in &more.ecc {
            self.ecc(label, &memory(name), *counts, time, to);
        }
    }

    fn ecc(&mut self, label: &Attributes, memory: &Attribute, counts: EccInfo, time: Timestamp, to: &mut Vec<Point>) {
        let kinds = [
            (
                "corrected",
                counts.single,
                counts.total_single,
                counts.single_isolated_pages,
            ),
            (
                "uncorrected",
                counts.double,
                counts.total_double,
                counts.double_isolated_pages,
            ),
        ];
        for (kind, now, in_all, pages) in kinds {
            let label = Arc::new(label.with([memory.clone(), hw_type(), (key::ERROR_TYPE, kind.into())]));
            // All bits set is no valid count.
            let count = |number: u32| (number != u32::MAX).then_some(i64::from(number));
            if let Some(count) = count(now) {
                let mut errors = point(&hw::ERRORS, Arc::clone(&label), count, time);
                // The boot is the lower bound of the start: the driver does not report when the device started.
                errors.start = Some(self.processes.boot_time().unwrap_or(time));
                self.starts.set_start(&mut errors);
                to.push(errors);
            }
            let others = [
                (&ascend::ECC_LIFETIME_ERRORS, in_all),
                (&ascend::ECC_ISOLATED_PAGES, pages),
            ];
            for (instrument, number) in others {
                if let Some(number) = count(number) {
                    to.push(point(instrument, Arc::clone(&label), number, time));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::Node;
    use accelscope_core::host::HostRoots;

    #[test]
    fn a_count_that_falls_started_after_it_was_read_before() {
        let roots = HostRoots::new("/");
        let processes = Processes::new(&roots);
        let points = Points::new(
            Node::new(&roots, String::new()),
            processes.clone(),
            Duration::from_secs(60),
        );
        let mut builder = Builder::new(points, processes);
        let mut errors = |single| {
            let mut reading = ChipReading::default();
            (reading.chip.npu, reading.chip.chip) = (Some(1), Some(0));
            let counts = EccInfo {
                enabled: 1,
                single,
                double: u32::MAX,
                total_single: 9,
                total_double: 0,
                single_isolated_pages: 0,
                double_isolated_pages: 0,
            };
            reading.more.ecc.push(("hbm", counts));
            let now = Moment::now();
            let points = builder.build(vec![reading], None, now, &mut BTreeMap::new());
            let errors: Vec<_> = points.into_iter().filter(|one| *one.instrument == hw::ERRORS).collect();
            assert_eq!(errors.len(), 1, "a count with all bits set is none");
            (errors[0].value.clone(), errors[0].start.unwrap(), now.wall)
        };
        let (first, since_boot, now) = errors(5);
        assert!(first == Value::Int(5) && since_boot < now);
        let (_, start, before) = errors(7);
        assert_eq!(start, since_boot);
        let (after, start, _) = errors(2);
        assert_eq!((after, start), (Value::Int(2), before), "the device has started again");
    }
}
