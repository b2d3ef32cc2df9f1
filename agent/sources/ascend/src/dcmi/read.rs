//! Reads one chip, query by query. A failed query affects its own value only.

use std::ffi::{c_int, c_uint};

use super::layout::{ChipInfo, EccInfo, PcieInfo, ProcessMemory, Utilizations};
use super::library::{Address, Failure, Generation, Library, NOT_SUPPORTED, words};
use super::open::{ChipState, Driver};
use super::query::Query;
use crate::npu_smi::{self, Cause, Health, Process, Usage};
use accelscope_core::worker::Pass;

const MIB: u64 = 1 << 20;
const KIB: u64 = 1 << 10;
const HERTZ: f64 = 1e6;

/// Plausible ranges: a value beyond them is a sentinel or in another unit.
const MOST_DECIWATTS: c_int = 100_000;
const MOST_CELSIUS: c_uint = 250;
const MOST_CENTIVOLTS: c_uint = 10_000;
const MOST_MEGAHERTZ: c_uint = 20_000;

/// Permanent return codes of a query: not supported, and a parameter unknown to this version (-8001).
const FINAL: [c_int; 2] = [NOT_SUPPORTED, -8001];

/// Health of a chip that is absent or has not started.
const NOT_THERE: c_uint = c_uint::MAX;

/// Readings of one chip.
#[derive(Debug, Default)]
pub(super) struct ChipReading {
    /// Values that `npu-smi` has too.
    pub(super) chip: npu_smi::Chip,
    /// Processes; `None` if they could not be read.
    pub(super) processes: Option<Vec<Process>>,
    pub(super) more: DcmiValues,
    /// Number of readings without a value, by reason.
    pub(super) skipped: Vec<String>,
    /// Whether any query succeeded.
    pub(super) answered: bool,
    /// Whether all its queries are suspended.
    pub(super) suspended: bool,
}

/// Values that `npu-smi` does not have, in base units.
#[derive(Debug, Default)]
pub(super) struct DcmiValues {
    pub(super) volts: Option<f64>,
    pub(super) hbm_celsius: Option<f64>,
    pub(super) npu_percent: Option<f64>,
    pub(super) vector_percent: Option<f64>,
    pub(super) cube_percent: Option<f64>,
    pub(super) control_cpu_percent: Option<f64>,
    /// By memory.
    pub(super) bandwidth_percent: Vec<(&'static str, f64)>,
    /// By clock.
    pub(super) hertz: Vec<(&'static str, f64)>,
    pub(super) most_hertz: Vec<(&'static str, f64)>,
    /// By memory.
    pub(super) ecc: Vec<(&'static str, EccInfo)>,
}

/// A chip that is being read.
struct ChipReader<'a> {
    library: &'a Library,
    generation: Generation,
    chip: &'a mut ChipState,
    pass: &'a Pass<'a, Driver>,
    reading: ChipReading,
}

/// Performs all queries of a chip.
pub(super) fn read(
    library: &Library,
    generation: Generation,
    chip: &mut ChipState,
    pass: &Pass<'_, Driver>,
) -> ChipReading {
    let reading = ChipReading {
        suspended: pass.suspended.find_device(&chip.label, None).is_some(),
        ..ChipReading::default()
    };
    let mut reader = ChipReader {
        library,
        generation,
        chip,
        pass,
        reading,
    };
    reader.identity();
    reader.health();
    reader.power();
    reader.memory();
    reader.utilization();
    reader.clocks();
    reader.ecc();
    reader.processes();
    reader.reading
}

impl ChipReader<'_> {
    /// Result of a query; `None` if the chip does not support it, it is suspended, or it fails now.
    fn ask<T>(&mut self, query: Query, call: impl FnOnce(&Library, Address) -> Result<T, Failure>) -> Option<T> {
        let (chip, pass, task) = (&mut *self.chip, self.pass, query.as_str());
        if chip.unsupported.contains(&query) || pass.suspended.find(&chip.label, None, task).is_some() {
            return None;
        }
        let answer = pass
            .progress
            .during(&chip.label, None, task, || call(self.library, chip.address));
        match answer {
            Ok(answer) => {
                self.reading.answered = true;
                Some(answer)
            }
            Err(Failure::Missing) => {
                chip.unsupported.insert(query);
                None
            }
            Err(Failure::Code(code)) if FINAL.contains(&code) => {
                self.reading.answered = true;
                chip.unsupported.insert(query);
                None
            }
            Err(Failure::Code(code)) => {
                let reason = format!("{}_{}", query.as_str(), Cause::of_code(code).as_str());
                self.reading.skipped.push(reason);
                None
            }
        }
    }

    /// Counts an implausible result.
    fn plausible<T>(&mut self, query: Query, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.reading.skipped.push(format!("{}_implausible", query.as_str()));
        }
        value
    }

    fn identity(&mut self) {
        if self.chip.name.is_none() {
            let info: Option<ChipInfo> = self
                .ask(Query::Model, Library::chip_info)
                .or_else(|| self.ask(Query::OldModel, Library::old_chip_info));
            self.chip.name = info.map(|info| words(&info.name)).filter(|name| !name.is_empty());
        }
        if self.chip.bus_id.is_none() {
            self.chip.bus_id = self.ask(Query::Pcie, Library::pcie).as_ref().and_then(bus_id);
        }
        if self.chip.logical_id.is_none() {
            let id = self.ask(Query::LogicalId, Library::logical_id);
            self.chip.logical_id = id.and_then(|id| id.try_into().ok());
        }
        if let (None, Some(logical)) = (self.chip.physical_id, self.chip.logical_id) {
            let generation = self.generation;
            self.chip.physical_id = self.ask(Query::PhysicalId, |library, _| library.physical_id(generation, logical));
        }
        self.reading.chip = npu_smi::Chip {
            npu: Some(self.chip.npu),
            chip: Some(self.chip.chip),
            name: self.chip.name.clone(),
            bus_id: self.chip.bus_id.clone(),
            logical_id: self.chip.logical_id,
            physical_id: self.chip.physical_id,
            ..npu_smi::Chip::default()
        };
    }

    fn health(&mut self) {
        let Some(health) = self.ask(Query::Health, Library::health) else {
            // The vendor's tool prints this value if the query failed.
            let failed = !self.chip.unsupported.contains(&Query::Health);
            self.reading.chip.health = failed.then_some(Health::Unknown);
            return;
        };
        self.reading.chip.orphan = health == NOT_THERE;
        self.reading.chip.health = match health {
            0 => Some(Health::Ok),
            1 => Some(Health::Warning),
            2 => Some(Health::Alarm),
            3 => Some(Health::Critical),
            _ => None,
        };
    }

    fn power(&mut self) {
        if let Some(power) = self.ask(Query::Power, Library::power) {
            // A working chip never draws 0 W, except for a card's second chip if the card's power is that of the first.
            let power = Some(power).filter(|power| (1..=MOST_DECIWATTS).contains(power));
            let watts = self.plausible(Query::Power, power);
            self.reading.chip.power_watts = watts.map(|power| f64::from(power) / 10.0);
        }
        if let Some(celsius) = self.ask(Query::Temperature, Library::temperature) {
            let celsius = self.plausible(Query::Temperature, temperature(celsius));
            self.reading.chip.temperature_celsius = celsius;
        }
        if let Some(voltage) = self.ask(Query::Voltage, Library::voltage) {
            let voltage = Some(voltage).filter(|voltage| (1..=MOST_CENTIVOLTS).contains(voltage));
            let volts = self.plausible(Query::Voltage, voltage);
            self.reading.more.volts = volts.map(|voltage| f64::from(voltage) / 100.0);
        }
    }

    fn memory(&mut self) {
        // Zero is the size of a memory that the chip does not have, and the result of a failed read.
        let hbm = self.ask(Query::Hbm, Library::hbm).filter(|hbm| hbm.memory_size > 0);
        if let Some(hbm) = hbm {
            self.reading.chip.hbm = usage(Some(hbm.memory_usage), hbm.memory_size, MIB);
            self.reading.more.hbm_celsius = temperature(hbm.temp);
            self.bandwidth("hbm", hbm.bandwidth_util_rate);
            self.clock("hbm", hbm.freq);
        }
        let ddr = self.ask(Query::Ddr, Library::ddr).filter(|ddr| ddr.memory_size > 0);
        if let Some(ddr) = ddr {
            let used = ddr.memory_size.checked_sub(ddr.memory_available);
            self.reading.chip.ddr = usage(used, ddr.memory_size, MIB);
            self.clock("ddr", ddr.freq);
            if (1..=KIB * MIB).contains(&ddr.hugepage_size) {
                let used = ddr.hugepages_total.checked_sub(ddr.hugepages_free);
                self.reading.chip.hugepages = usage(used, ddr.hugepages_total, 1);
            }
            let rate = |library: &Library, chip| library.utilization(chip, 5);
            if let Some(percent) = self.ask(Query::UtilizationDdrBandwidth, rate) {
                self.bandwidth("ddr", percent);
            }
        }
    }

    fn utilization(&mut self) {
        let (aicore, npu, vector, cube) = match self.ask(Query::Utilizations, Library::utilizations) {
            Some(Utilizations {
                cube,
                vector,
                aicore,
                npu,
                ..
            }) => (Some(aicore), Some(npu), Some(vector), Some(cube)),
            None => (
                self.rate(Query::UtilizationAicore, 2),
                self.rate(Query::UtilizationNpu, 13),
                self.rate(Query::UtilizationVector, 12),
                self.rate(Query::UtilizationCube, 14),
            ),
        };
        let chip = &mut self.reading.chip;
        chip.aicore_percent = aicore.and_then(percent);
        let npu = npu.and_then(percent);
        // The load in the vendor's tool: that of the whole NPU on the 950, of the AI Cores before.
        match self.generation {
            Generation::Devices => chip.npu_percent = npu,
            Generation::Cards => self.reading.more.npu_percent = npu,
        }
        self.reading.more.vector_percent = vector.and_then(percent);
        self.reading.more.cube_percent = cube.and_then(percent);
        self.reading.chip.aicpu_percent = self.rate(Query::UtilizationAicpu, 3).and_then(percent);
        self.reading.more.control_cpu_percent = self.rate(Query::UtilizationControlCpu, 4).and_then(percent);
    }

    fn rate(&mut self, query: Query, kind: c_int) -> Option<c_uint> {
        self.ask(query, |library, chip| library.utilization(chip, kind))
    }

    fn clocks(&mut self) {
        if let Some(aicore) = self.ask(Query::ClockAicore, Library::aicore) {
            self.clock("aicore", aicore.current);
            if let Some(hertz) = hertz(aicore.rated) {
                self.reading.more.most_hertz.push(("aicore", hertz));
            }
        }
        for (query, name, kind) in [
            (Query::ClockControlCpu, "control_cpu", 2),
            (Query::ClockVector, "vector", 12),
        ] {
            if let Some(megahertz) = self.ask(query, |library, chip| library.frequency(chip, kind)) {
                self.clock(name, megahertz);
            }
        }
    }

    fn ecc(&mut self) {
        for (query, memory, kind) in [
            (Query::EccDdr, "ddr", 0),
            (Query::EccSram, "sram", 1),
            (Query::EccHbm, "hbm", 2),
        ] {
            let counts = self.ask(query, |library, chip| library.ecc(chip, kind));
            // While ECC is off, the zeros are no counts.
            if let Some(counts) = counts.filter(|counts| counts.enabled == 1) {
                self.reading.more.ecc.push((memory, counts));
            }
        }
    }

    fn processes(&mut self) {
        let Some(listed) = self.ask(Query::Processes, Library::processes) else {
            return;
        };
        let mut processes: Vec<Process> = Vec::with_capacity(listed.len());
        for ProcessMemory { id, usage } in listed {
            let Some(pid) = u32::try_from(id).ok().filter(|pid| *pid > 0) else {
                self.reading.skipped.push("process_without_id".to_owned());
                continue;
            };
            match processes.iter_mut().find(|process| process.pid == pid) {
                Some(again) => again.memory = again.memory.and_then(|bytes| bytes.checked_add(usage)),
                None => processes.push(Process {
                    npu: self.chip.npu,
                    chip: self.chip.chip,
                    pid,
                    pid_in_container: None,
                    name: None,
                    memory: Some(usage),
                }),
            }
        }
        self.reading.processes = Some(processes);
    }

    fn bandwidth(&mut self, memory: &'static str, rate: c_uint) {
        if let Some(percent) = percent(rate) {
            self.reading.more.bandwidth_percent.push((memory, percent));
        }
    }

    fn clock(&mut self, clock: &'static str, megahertz: c_uint) {
        if let Some(hertz) = hertz(megahertz) {
            self.reading.more.hertz.push((clock, hertz));
        }
    }
}

/// `domain:bus:device.function`; a chip that is not on PCI has zeros for everything.
fn bus_id(pcie: &PcieInfo) -> Option<String> {
    let fits = pcie.vendor != 0 && pcie.domain >= 0 && pcie.bus < 256 && pcie.slot < 32 && pcie.function < 8;
    fits.then(|| {
        format!(
            "{:04x}:{:02x}:{:02x}.{:x}",
            pcie.domain, pcie.bus, pcie.slot, pcie.function
        )
    })
}

/// Exactly 0 °C is the result of a failed read, and does not occur on a working chip; 0x7ffd and 0x7fff are the
/// vendor's sentinels for invalid and failed.
fn temperature(celsius: c_int) -> Option<f64> {
    (celsius != 0 && celsius.unsigned_abs() <= MOST_CELSIUS).then_some(f64::from(celsius))
}

fn percent(rate: c_uint) -> Option<f64> {
    (rate <= 100).then_some(f64::from(rate))
}

/// A clock of 0 Hz cannot be distinguished from a failed read.
fn hertz(megahertz: c_uint) -> Option<f64> {
    (1..=MOST_MEGAHERTZ)
        .contains(&megahertz)
        .then(|| f64::from(megahertz) * HERTZ)
}

fn usage(used: Option<u64>, limit: u64, unit: u64) -> Usage {
    let Some(limit) = limit.checked_mul(unit).filter(|limit| *limit > 0) else {
        return Usage::default();
    };
    let used = used
        .and_then(|used| used.checked_mul(unit))
        .filter(|used| *used <= limit);
    Usage {
        used,
        limit: Some(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_are_no_readings() {
        assert_eq!(temperature(0x7ffd), None);
        assert_eq!(temperature(0x7fff), None);
        assert_eq!(temperature(c_int::MIN), None);
        assert_eq!(temperature(0), None);
        assert_eq!(temperature(-12), Some(-12.0));
        assert_eq!(percent(101), None);
        assert_eq!(percent(c_uint::MAX), None);
        assert_eq!(percent(0), Some(0.0));
        assert_eq!(hertz(0), None);
        assert_eq!(hertz(c_uint::MAX), None);
        assert_eq!(hertz(1850), Some(1.85e9));
    }

    #[test]
    fn memory_that_is_not_there_or_not_told_is_absent() {
        assert_eq!(usage(Some(0), 0, MIB), Usage::default());
        assert_eq!(usage(Some(1), u64::MAX, MIB), Usage::default());
        let strange = usage(Some(9), 8, MIB);
        assert_eq!((strange.used, strange.limit), (None, Some(8 * MIB)));
        assert_eq!(usage(Some(3), 8, MIB).used, Some(3 * MIB));
    }
}
