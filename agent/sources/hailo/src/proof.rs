//! What shows that a process may write monitor files: that it was started with the monitor on, or holds a Hailo device open.
//!
//! HailoRT writes for no other process. The variable is missing in `/proc/<pid>/environ` where a program has set it itself, as
//! Python's `os.environ` does; such a program holds the device while it writes.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::living::{Living, PATIENCE};
use accelscope_core::host::descriptors::{cpu_time, holds_char_device};
use accelscope_core::host::stuck::apart;
use accelscope_core::metric::ProcessKey;

/// Time after which a process without proof is looked at again: it may have opened the device since, or become another program.
const AGAIN: Duration = Duration::from_secs(5);
/// The same for one whose environment did not answer.
const SILENT_AGAIN: Duration = Duration::from_mins(1);
/// What looking at such a process counts as, in looks.
const SILENT_LOOKS: u32 = 8;
/// Most bytes of its environment, and most descriptors of it, that are looked at.
const MAX_BYTES: u64 = 1 << 20;
const MAX_DESCRIPTORS: usize = 512;
/// Most processes that are remembered.
const MAX_KNOWN: usize = 1024;

/// What is known of the candidates.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Numbers of the Hailo devices.
    pub(super) devices: BTreeSet<u64>,
    known: HashMap<ProcessKey, Known>,
    looks: u32,
    time: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    is_shown: bool,
    again: Instant,
}

impl Proofs {
    /// How many processes were looked at since the last call. Those that were known are none of them.
    pub(super) fn take_looks(&mut self) -> u32 {
        std::mem::take(&mut self.looks)
    }

    /// Counts what costs as much as so many looks.
    pub(super) fn count(&mut self, looks: usize) {
        self.looks = self.looks.saturating_add(looks.try_into().unwrap_or(u32::MAX));
    }

    /// CPU time of other threads since the last call.
    pub(super) fn take_time(&mut self) -> Duration {
        std::mem::take(&mut self.time)
    }

    /// Whether the process is shown to use HailoRT, by what was seen of it within the last seconds.
    pub(super) fn shows(&mut self, living: &Living, process: ProcessKey) -> bool {
        let now = Instant::now();
        if let Some(known) = self.known.get(&process)
            && (known.is_shown || now < known.again)
        {
            return known.is_shown;
        }
        self.make_room(living);
        let (environment, took) = living.environment_within(process.pid, MAX_BYTES);
        self.time += took;
        let is_silent = environment.is_none() && now.elapsed() >= PATIENCE;
        let is_on = environment.is_some_and(|environment| environment.is_monitored);
        let known = Known {
            is_shown: is_on || self.holds_device(living, process.pid),
            again: now + if is_silent { SILENT_AGAIN } else { AGAIN },
        };
        self.looks += if is_silent { SILENT_LOOKS } else { 1 };
        self.known.insert(process, known);
        known.is_shown
    }

    fn holds_device(&mut self, living: &Living, pid: u32) -> bool {
        if self.devices.is_empty() {
            return false;
        }
        let (processes, devices) = (living.processes.clone(), self.devices.clone());
        let looked = apart(move || {
            let (begun, devices) = (cpu_time(), devices.clone());
            let holds = holds_char_device(&processes, pid, MAX_DESCRIPTORS, move |number| {
                devices.contains(&number)
            });
            (holds.unwrap_or(false), cpu_time().saturating_sub(begun))
        });
        let (holds, took) = looked.unwrap_or_default();
        self.time += took;
        holds
    }

    fn make_room(&mut self, living: &Living) {
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|process, _| living.processes.is_alive(*process));
        }
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use accelscope_core::host::HostRoots;

    struct Process(Child);

    impl Process {
        /// A process with this variable that may hold `/dev/full` open.
        fn new(variable: &str, holds: bool) -> Self {
            let mut command = Command::new("sleep");
            command.arg("600").env_clear().env(variable, "1").stdin(Stdio::null());
            if holds {
                command.stdin(std::fs::File::open("/dev/full").unwrap());
            }
            let process = Self(command.spawn().unwrap());
            // Until its exec it has the environment of this test, and then none for a moment.
            let environ = format!("/proc/{}/environ", process.0.id());
            let expected = format!("{variable}=1\0");
            let until = Instant::now() + Duration::from_secs(60);
            while std::fs::read_to_string(&environ).unwrap() != expected {
                assert!(Instant::now() < until, "{environ}");
                std::thread::yield_now();
            }
            process
        }
    }

    impl Drop for Process {
        fn drop(&mut self) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    #[test]
    fn the_variable_or_the_device_shows_it_and_each_process_is_looked_at_once() {
        let living = Living::new(&HostRoots::new("/"));
        let mut proofs = Proofs {
            devices: BTreeSet::from([rustix::fs::makedev(1, 7)]),
            ..Proofs::default()
        };
        for (variable, holds, expected) in [
            ("HAILO_MONITOR", false, true),
            ("SCHEDULER_MONITOR", false, true),
            ("OTHER", true, true),
            ("OTHER", false, false),
        ] {
            let process = Process::new(variable, holds);
            let key = living.processes.key(process.0.id()).unwrap();
            for looks in [1, 0, 0] {
                assert_eq!(proofs.shows(&living, key), expected, "{variable} {holds}");
                assert_eq!(proofs.take_looks(), looks);
            }
        }
        proofs.devices.clear();
        let process = Process::new("OTHER", true);
        let key = living.processes.key(process.0.id()).unwrap();
        assert!(!proofs.shows(&living, key), "the device is no Hailo");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let living = Living::new(&HostRoots::new("/"));
        let mut proofs = Proofs::default();
        let own = living.processes.key(std::process::id()).unwrap();
        for start_ticks in 0..2 * MAX_KNOWN as u64 {
            let process = ProcessKey { start_ticks, ..own };
            proofs.shows(&living, process);
            assert!(proofs.known.len() <= MAX_KNOWN);
        }
    }
}
