//! Reads one chip, query by query. A failed query affects its own value only.

use std::ffi::{c_int, c_uint};

use super::layout::{ChipInfo, PcieInfo, ProcessMemory, Utilizations};
use super::library::{Address, Failure, Library, NOT_SUPPORTED, words};
use super::open::{ChipState, Driver};
use crate::catalogue as ascend;
use crate::key;
use crate::npu_smi::{self, Cause, Health, Process, Usage};
use crate::points::hw_type;
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Attribute, Instrument, Value};
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
    pub(super) chip: npu_smi::Chip,
    /// Processes; `None` if they could not be read.
    pub(super) processes: Option<Vec<Process>>,
    /// Number of readings without a value, by reason.
    pub(super) skipped: Vec<String>,
    /// Whether any query succeeded.
    pub(super) answered: bool,
    /// Whether all its queries are suspended.
    pub(super) suspended: bool,
}

/// A chip that is being read.
struct ChipReader<'a> {
    library: &'a Library,
    chip: &'a mut ChipState,
    pass: &'a Pass<'a, Driver>,
    reading: ChipReading,
}

/// Performs all queries of a chip.
pub(super) fn read(library: &Library, chip: &mut ChipState, pass: &Pass<'_, Driver>) -> ChipReading {
    let reading = ChipReading {
        suspended: pass.suspended.find_device(&chip.label, None).is_some(),
        ..ChipReading::default()
    };
    let mut reader = ChipReader {
        library,
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
    /// Result of a query; `None` if the chip does not support it, it is suspended, or it fails now. `query` is its name
    /// in `agent.reason`, and that of the task that can be suspended.
    fn ask<T>(&mut self, query: &'static str, call: impl FnOnce(&Library, Address) -> Result<T, Failure>) -> Option<T> {
        let (chip, pass) = (&mut *self.chip, self.pass);
        if chip.unsupported.contains(query) || pass.suspended.find(&chip.label, None, query).is_some() {
            return None;
        }
        let answer = pass
            .progress
            .during(&chip.label, None, query, || call(self.library, chip.address));
        match answer {
            Ok(answer) => {
                self.reading.answered = true;
                return Some(answer);
            }
            Err(Failure::Code(code)) if !FINAL.contains(&code) => {
                let reason = format!("{query}_{}", Cause::of_code(code).as_str());
                self.reading.skipped.push(reason);
            }
            Err(failure) => {
                self.reading.answered |= failure != Failure::Missing;
                chip.unsupported.insert(query);
            }
        }
        None
    }

    /// Counts an implausible result.
    fn plausible<T>(&mut self, query: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.reading.skipped.push(format!("{query}_implausible"));
        }
        value
    }

    /// Adds a value that `npu-smi` does not have.
    fn more(&mut self, instrument: &'static Instrument, attributes: Vec<Attribute>, value: impl Into<Value>) {
        self.reading.chip.more.push((instrument, attributes, value.into()));
    }

    fn identity(&mut self) {
        if self.chip.known.name.is_none() {
            let info: Option<ChipInfo> = self
                .ask("model", Library::chip_info)
                .or_else(|| self.ask("model_v1", Library::old_chip_info));
            self.chip.known.name = info.map(|info| words(&info.name)).filter(|name| !name.is_empty());
        }
        if self.chip.known.bus_id.is_none() {
            self.chip.known.bus_id = self.ask("pcie", Library::pcie).as_ref().and_then(bus_id);
        }
        if self.chip.known.logical_id.is_none() {
            let id = self.ask("logical_id", Library::logical_id);
            self.chip.known.logical_id = id.and_then(|id| id.try_into().ok());
        }
        if let (None, Some(logical)) = (self.chip.known.physical_id, self.chip.known.logical_id) {
            let id = self.ask("physical_id", |library, chip| library.physical_id(chip.into(), logical));
            self.chip.known.physical_id = id;
        }
        self.reading.chip = self.chip.known.clone();
    }

    fn health(&mut self) {
        let Some(health) = self.ask("health", Library::health) else {
            // The vendor's tool prints this value if the query failed.
            let failed = !self.chip.unsupported.contains("health");
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
        if let Some(power) = self.ask("power", Library::power) {
            // A working chip never draws 0 W, except for a card's second chip if the card's power is that of the first.
            let power = Some(power).filter(|power| (1..=MOST_DECIWATTS).contains(power));
            let watts = self.plausible("power", power);
            self.reading.chip.power_watts = watts.map(|power| f64::from(power) / 10.0);
        }
        if let Some(celsius) = self.ask("temperature", Library::temperature) {
            let celsius = self.plausible("temperature", temperature(celsius));
            self.reading.chip.temperature_celsius = celsius;
        }
        if let Some(voltage) = self.ask("voltage", Library::voltage) {
            let voltage = Some(voltage).filter(|voltage| (1..=MOST_CENTIVOLTS).contains(voltage));
            if let Some(voltage) = self.plausible("voltage", voltage) {
                self.more(&hw::VOLTAGE, Vec::new(), f64::from(voltage) / 100.0);
            }
        }
    }

    fn memory(&mut self) {
        // Zero is the size of a memory that the chip does not have, and the result of a failed read.
        let hbm = self.ask("hbm", Library::hbm).filter(|hbm| hbm.memory_size > 0);
        if let Some(hbm) = hbm {
            self.reading.chip.hbm = usage(Some(hbm.memory_usage), hbm.memory_size, MIB);
            if let Some(celsius) = temperature(hbm.temp) {
                self.more(&ascend::MEMORY_TEMPERATURE, vec![memory("hbm")], celsius);
            }
            self.bandwidth("hbm", hbm.bandwidth_util_rate);
            self.clock(&ascend::CLOCK_FREQUENCY, "hbm", hbm.freq);
        }
        let ddr = self.ask("ddr", Library::ddr).filter(|ddr| ddr.memory_size > 0);
        if let Some(ddr) = ddr {
            let used = ddr.memory_size.checked_sub(ddr.memory_available);
            self.reading.chip.ddr = usage(used, ddr.memory_size, MIB);
            self.clock(&ascend::CLOCK_FREQUENCY, "ddr", ddr.freq);
            if (1..=KIB * MIB).contains(&ddr.hugepage_size) {
                let used = ddr.hugepages_total.checked_sub(ddr.hugepages_free);
                self.reading.chip.hugepages = usage(used, ddr.hugepages_total, 1);
            }
            if let Some(percent) = self.rate("utilization_ddr_bandwidth", 5) {
                self.bandwidth("ddr", percent);
            }
        }
    }

    fn utilization(&mut self) {
        let (aicore, npu, vector, cube) = match self.ask("utilizations", Library::utilizations) {
            Some(Utilizations {
                cube,
                vector,
                aicore,
                npu,
                ..
            }) => (Some(aicore), Some(npu), Some(vector), Some(cube)),
            None => (
                self.rate("utilization_aicore", 2),
                self.rate("utilization_npu", 13),
                self.rate("utilization_vector", 12),
                self.rate("utilization_cube", 14),
            ),
        };
        let aicpu = self.rate("utilization_aicpu", 3);
        let control_cpu = self.rate("utilization_control_cpu", 4);
        // The load in the vendor's tool: that of the whole NPU on the 950, of the AI Cores before.
        let (load, npu) = match self.chip.address {
            Address::Device(_) => (npu, None),
            Address::Card { .. } => (None, npu),
        };
        let chip = &mut self.reading.chip;
        chip.aicore_percent = aicore.and_then(percent);
        chip.aicpu_percent = aicpu.and_then(percent);
        chip.npu_percent = load.and_then(percent);
        for (instrument, rate) in [
            (&ascend::NPU_UTILIZATION, npu),
            (&ascend::VECTOR_UTILIZATION, vector),
            (&ascend::CUBE_UTILIZATION, cube),
            (&ascend::CONTROL_CPU_UTILIZATION, control_cpu),
        ] {
            if let Some(percent) = rate.and_then(percent) {
                self.more(instrument, Vec::new(), percent / 100.0);
            }
        }
    }

    fn rate(&mut self, query: &'static str, kind: c_int) -> Option<c_uint> {
        self.ask(query, |library, chip| library.utilization(chip, kind))
    }

    fn clocks(&mut self) {
        if let Some(aicore) = self.ask("clock_aicore", Library::aicore) {
            self.clock(&ascend::CLOCK_FREQUENCY, "aicore", aicore.current);
            self.clock(&ascend::CLOCK_FREQUENCY_LIMIT, "aicore", aicore.rated);
        }
        for (query, name, kind) in [("clock_control_cpu", "control_cpu", 2), ("clock_vector", "vector", 12)] {
            if let Some(megahertz) = self.ask(query, |library, chip| library.frequency(chip, kind)) {
                self.clock(&ascend::CLOCK_FREQUENCY, name, megahertz);
            }
        }
    }

    fn ecc(&mut self) {
        for (query, name, kind) in [("ecc_ddr", "ddr", 0), ("ecc_sram", "sram", 1), ("ecc_hbm", "hbm", 2)] {
            let counts = self.ask(query, |library, chip| library.ecc(chip, kind));
            // While ECC is off, the zeros are no counts.
            let Some(counts) = counts.filter(|counts| counts.enabled == 1) else {
                continue;
            };
            for (error, instrument, count) in [
                ("corrected", &hw::ERRORS, counts.single),
                ("corrected", &ascend::ECC_LIFETIME_ERRORS, counts.total_single),
                ("corrected", &ascend::ECC_ISOLATED_PAGES, counts.single_isolated_pages),
                ("uncorrected", &hw::ERRORS, counts.double),
                ("uncorrected", &ascend::ECC_LIFETIME_ERRORS, counts.total_double),
                ("uncorrected", &ascend::ECC_ISOLATED_PAGES, counts.double_isolated_pages),
            ] {
                // All bits set is no valid count.
                if count != c_uint::MAX {
                    let attributes = vec![memory(name), hw_type(), (key::ERROR_TYPE, error.into())];
                    self.more(instrument, attributes, i64::from(count));
                }
            }
        }
    }

    fn processes(&mut self) {
        let Some(listed) = self.ask("processes", Library::processes) else {
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

    fn bandwidth(&mut self, name: &'static str, rate: c_uint) {
        if let Some(percent) = percent(rate) {
            self.more(
                &ascend::MEMORY_BANDWIDTH_UTILIZATION,
                vec![memory(name)],
                percent / 100.0,
            );
        }
    }

    fn clock(&mut self, instrument: &'static Instrument, name: &'static str, megahertz: c_uint) {
        if let Some(hertz) = hertz(megahertz) {
            self.more(instrument, vec![(key::ASCEND_CLOCK, name.into())], hertz);
        }
    }
}

fn memory(name: &'static str) -> Attribute {
    (key::ASCEND_MEMORY_TYPE, name.into())
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
