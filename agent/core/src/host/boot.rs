//! Boot time of the host, and from it the start times of processes.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::bounded::read_bounded;
use super::process::Processes;
use crate::metric::{ProcessKey, Timestamp};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// `/proc/stat` has a line for each CPU and a counter for each interrupt.
const MAX_STAT_BYTES: usize = 4 << 20;

impl Processes {
    /// Boot time of the host by the current wall clock: it changes when the clock is set.
    ///
    /// `/proc/stat` has whole seconds only, so that a process that started up to a second after a file was written
    /// could be taken for its writer. The difference of the running clocks is exact, and is used if both agree.
    pub fn boot_time(&self) -> io::Result<Timestamp> {
        let stat = read_bounded(&self.boot_file(), MAX_STAT_BYTES)?;
        let stat = String::from_utf8_lossy(&stat);
        let seconds = stat
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        let Some(seconds) = seconds else {
            let message = format!("{}: no line `btime`", self.boot_file().display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        let exact = nanos(ClockId::Realtime).saturating_sub(nanos(ClockId::Boottime));
        let whole = seconds.saturating_mul(NANOS_PER_SECOND);
        let agrees = exact.abs_diff(whole) < 2 * NANOS_PER_SECOND;
        Ok(Timestamp::from_unix_nanos(if agrees { exact } else { whole }))
    }

    /// Start time of the process by the current wall clock, rounded down to the clock tick (10 ms).
    pub fn started(&self, key: ProcessKey) -> io::Result<Timestamp> {
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        let since_boot = u128::from(key.start_ticks) * u128::from(NANOS_PER_SECOND) / u128::from(ticks_per_second);
        let since_boot = u64::try_from(since_boot).unwrap_or(u64::MAX);
        Ok(Timestamp::from_unix_nanos(
            self.boot_time()?.unix_nanos().saturating_add(since_boot),
        ))
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = Duration::try_from(clock_gettime(clock)).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostRoots;

    #[test]
    fn a_child_starts_between_before_and_after() {
        let processes = Processes::new(&HostRoots::new("/"));
        // The two clocks are read one after the other, between which a busy machine may pause.
        let mut tried = Vec::new();
        let is_right = (0..10).any(|_| {
            let before = Timestamp::now();
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let after = Timestamp::now();
            let started = processes.started(processes.key(child.id()).unwrap());
            child.kill().unwrap();
            child.wait().unwrap();
            let started = started.unwrap();
            tried.push((before, started, after));
            before.since(started) <= Duration::from_millis(20) && started <= after
        });
        assert!(is_right, "before, start, after: {tried:?}");
    }

    #[test]
    fn another_hosts_boot_time_is_the_one_in_proc_stat() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("proc")).unwrap();
        std::fs::write(root.path().join("proc/stat"), "cpu 1 2 3\nbtime 1000\nprocesses 9\n").unwrap();
        let processes = Processes::new(&HostRoots::new(root.path()));
        assert_eq!(processes.boot_time().unwrap().unix_nanos(), 1000 * NANOS_PER_SECOND);
    }
}
