//! The host, collected from the series of the source `host`.

use super::names::{attribute, instrument};
use accelscope_core::metric::{Attributes, Series, Timestamp, Value};

/// Text of the replaced tool for what it could not read.
pub(super) const UNKNOWN: &str = "unknown";

/// What is known of the host; `None` is what has no live series.
#[derive(Debug, Default)]
pub(super) struct Host<'a> {
    info: Option<&'a Attributes>,
    /// Seconds, now.
    pub(super) uptime: Option<u64>,
    pub(super) physical_cpus: Option<u64>,
    pub(super) logical_cpus: Option<u64>,
    cpu: Cpu,
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Bytes.
    pub(super) memory_available: Option<u64>,
}

/// Shares of CPU time, 0 to 1.
#[derive(Debug, Default)]
struct Cpu {
    idle: Option<f64>,
    waiting: f64,
    stolen: f64,
}

impl<'a> Host<'a> {
    /// The host at `now` by its newest series.
    pub(super) fn of(series: &'a [Series], now: Timestamp) -> Self {
        let mut host = Self::default();
        for one in series {
            let number = one.value.as_ref().and_then(Value::as_f64);
            let Some(number) = number.filter(|number| number.is_finite()) else {
                continue;
            };
            match one.instrument.name {
                instrument::HOST_INFO => host.info = Some(&one.attributes),
                instrument::UPTIME => host.uptime = whole(number + now.since(one.time).as_secs_f64()),
                instrument::CPU_PHYSICAL_COUNT => host.physical_cpus = whole(number),
                instrument::CPU_LOGICAL_COUNT => host.logical_cpus = whole(number),
                instrument::CPU_UTILIZATION => host.cpu.add(&one.attributes, number),
                instrument::MEMORY_LIMIT => host.memory = whole(number),
                instrument::MEMORY_AVAILABLE => host.memory_available = whole(number),
                _ => {}
            }
        }
        host
    }

    /// This and the other texts are `None` where the host is not described at all.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.text(attribute::HOST_NAME)
    }

    pub(super) fn os_name(&self) -> Option<&'a str> {
        self.text(attribute::OS_NAME)
    }

    pub(super) fn os_version(&self) -> Option<&'a str> {
        self.text(attribute::OS_VERSION)
    }

    pub(super) fn kernel_version(&self) -> Option<&'a str> {
        self.text(attribute::HOST_KERNEL_VERSION)
    }

    pub(super) fn cpu_model(&self) -> Option<&'a str> {
        self.text(attribute::HOST_CPU_MODEL)
    }

    /// `unknown` where the host is described without it, as the replaced tool wrote.
    fn text(&self, key: &str) -> Option<&'a str> {
        Some(self.info?.text(key).unwrap_or(UNKNOWN))
    }

    /// Percent, in the precision of the replaced tool.
    pub(super) fn cpu_usage(&self) -> Option<f32> {
        let Cpu { idle, waiting, stolen } = self.cpu;
        // Its library counts time that the hypervisor took as part of the whole and not as work (sysinfo 0.31,
        // `CpuValues::work_time`).
        Some(((1.0 - idle? - waiting - stolen).clamp(0.0, 1.0) * 100.0) as f32)
    }

    /// Logical CPUs' worth of work.
    pub(super) fn cpus_used(&self) -> Option<f32> {
        Some(self.cpu_usage()? / 100.0 * self.logical_cpus? as f32)
    }

    /// Bytes that are not available.
    pub(super) fn memory_used(&self) -> Option<u64> {
        self.memory?.checked_sub(self.memory_available?)
    }

    /// Percent, in the precision of the replaced tool.
    pub(super) fn memory_usage(&self) -> Option<f32> {
        let (used, total) = (self.memory_used()?, self.memory?);
        (total > 0).then(|| used as f32 / total as f32 * 100.0)
    }
}

impl Cpu {
    fn add(&mut self, attributes: &Attributes, share: f64) {
        // With a further attribute it is of one CPU.
        if attributes.len() != 1 {
            return;
        }
        match attributes.text(attribute::CPU_MODE) {
            Some("idle") => self.idle = Some(share),
            Some("iowait") => self.waiting = share,
            Some("steal") => self.stolen = share,
            _ => {}
        }
    }
}

fn whole(number: f64) -> Option<u64> {
    (0.0..9e18).contains(&number).then_some(number as u64)
}
