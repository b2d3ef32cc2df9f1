//! Resource usage of a process, as the kernel counts it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Pages of files, most of them the program's own code; other processes may share them. Includes shared memory.
    pub(crate) file: u64,
    /// Anonymous pages.
    pub(crate) anonymous: u64,
}

impl Memory {
    /// From `/proc/<pid>/status`.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let bytes = |field: &str| {
            let kib = number(&status, field).with_context(|| format!("{path} has no {field}"))?;
            anyhow::Ok(kib * 1024)
        };
        Ok(Self {
            file: bytes("RssFile:")? + bytes("RssShmem:")?,
            anonymous: bytes("RssAnon:")?,
        })
    }
}

/// CPU time and context switches since the start of a process.
#[derive(Debug)]
pub(crate) struct Activity {
    /// CPU time in seconds of all its threads, including those that have ended.
    cpu: f64,
    /// Context switches by thread: each, voluntary or not, is followed by a wake-up.
    switches: BTreeMap<u32, u64>,
}

impl Activity {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let folder = format!("/proc/{pid}/task");
        let mut switches = BTreeMap::new();
        for thread in std::fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
            let path = thread?.path();
            let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            // A thread may end in between.
            if let (Some(id), Ok(count)) = (id, context_switches(&path)) {
                switches.insert(id, count);
            }
        }
        Ok(Self {
            cpu: cpu_seconds(pid)?,
            switches,
        })
    }

    /// Seconds of CPU time and context switches since an earlier reading. The switches of threads that have ended in between
    /// are missing.
    pub(crate) fn since(&self, earlier: &Self) -> (f64, u64) {
        let before = |thread: &u32| earlier.switches.get(thread).copied().unwrap_or(0);
        let switches = self
            .switches
            .iter()
            .map(|(thread, count)| count.saturating_sub(before(thread)))
            .sum();
        (self.cpu - earlier.cpu, switches)
    }
}

fn context_switches(thread: &Path) -> Result<u64> {
    let status = std::fs::read_to_string(thread.join("status"))?;
    let count = |field| number(&status, field).with_context(|| format!("{} has no {field}", thread.display()));
    Ok(count("voluntary_ctxt_switches:")? + count("nonvoluntary_ctxt_switches:")?)
}

/// The number after a field's name at the start of a line.
fn number(status: &str, field: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
}

/// CPU time of another process in seconds, which `/proc/<pid>/stat` has in ticks of 10 ms only.
#[expect(unsafe_code, reason = "no crate here has the CPU clock of another process")]
fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut clock = 0;
    // SAFETY: the call writes one clock id to the variable that it is given.
    let error = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    ensure!(
        error == 0,
        "no CPU clock of {pid}: {}",
        io::Error::from_raw_os_error(error)
    );
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one time to the variable that it is given.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    ensure!(result == 0, "CPU clock of {pid}: {}", io::Error::last_os_error());
    Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// CPU time in seconds of all processors since boot, for all processes together.
pub(crate) fn machine_busy() -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .map_while(|field| field.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user and nice.
    ensure!(ticks.len() >= 8, "/proc/stat begins with {line:?}");
    Ok((ticks[..3].iter().sum::<f64>() + ticks[5..8].iter().sum::<f64>()) / TICKS_PER_SECOND)
}
