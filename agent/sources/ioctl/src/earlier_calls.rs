//! Calls that had begun before programs were attached that see it. While they last, `/proc/<pid>/task/<tid>/syscall` tells
//! them (proc_pid_syscall(5); needs `CAP_SYS_PTRACE`).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Instant;

use super::attribute_cache::{AttributeCache, Detail};
use super::device_table::DeviceTable;
use super::holders::Holders;
use crate::catalogue::{INFLIGHT, INFLIGHT_AGE};
use accelscope_core::host::HostRoots;
use accelscope_core::host::bounded::read_bounded;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Moment, Owner, Point, ProcessKey, Value};

/// Numbers of ioctl(2): in the kernel's own table, to 32-bit programs (which on `x86_64` is setsockopt(2) to others, and on
/// arm64 fchownat(2): neither waits on a device), and to x32 ones.
const IOCTL: &[u64] = if cfg!(target_arch = "aarch64") {
    &[29, 54]
} else {
    &[16, 54, 0x4000_0202]
};
/// Most calls that are kept, and most threads that are looked at for them.
const MOST_CALLS: usize = 1024;
const MOST_THREADS: usize = 16_384;
/// Limit of `syscall`: nine numbers.
const MOST_BYTES: usize = 1024;

/// A call that may be unknown to the programs.
#[derive(Debug)]
struct Call {
    process: ProcessKey,
    thread: u32,
    /// Index of its device.
    device: u32,
    command: u32,
    /// What `syscall` told: number, arguments, and where in its program the thread is.
    text: Vec<u8>,
    /// When it was found: it is older.
    found: Instant,
    /// Whether it was there after the programs had been asked which calls they know.
    confirmed: bool,
}

/// The calls that the programs have not seen begin.
#[derive(Debug)]
pub(super) struct EarlierCalls {
    processes: Processes,
    /// Devices whose calls have been looked for, by number.
    looked: BTreeSet<u64>,
    calls: Vec<Call>,
    ended: u64,
}

impl EarlierCalls {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            looked: BTreeSet::new(),
            calls: Vec::new(),
            ended: 0,
        }
    }

    /// Looks for calls of those of these devices that have programs since the last time: numbers, and indices.
    pub(super) fn look(&mut self, counted: &BTreeMap<u64, u32>, holders: &Holders, now: Instant) {
        let new: BTreeMap<u64, u32> = counted
            .iter()
            .filter(|(number, _)| !self.looked.contains(number))
            .map(|(number, index)| (*number, *index))
            .collect();
        self.looked = counted.keys().copied().collect();
        let processes: BTreeSet<ProcessKey> = new.keys().flat_map(|number| holders.of(*number)).collect();
        let mut threads_left = MOST_THREADS;
        for process in processes {
            for thread in self.threads(process.pid) {
                if threads_left == 0 || self.calls.len() >= MOST_CALLS {
                    tracing::debug!(
                        "too many threads use devices to look at all for calls that began before the agent"
                    );
                    return;
                }
                threads_left -= 1;
                self.calls.extend(self.call(process, thread, &new, now));
            }
        }
    }

    fn threads(&self, pid: u32) -> Vec<u32> {
        let entries = std::fs::read_dir(self.processes.path(pid, "task"));
        let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    fn call(&self, process: ProcessKey, thread: u32, devices: &BTreeMap<u64, u32>, now: Instant) -> Option<Call> {
        let text = self.text(process.pid, thread)?;
        let (descriptor, command) = ioctl(&text)?;
        let file = self
            .processes
            .path(process.pid, &format!("task/{thread}/fd/{descriptor}"));
        let device = *devices.get(&std::fs::metadata(file).ok()?.rdev())?;
        Some(Call {
            process,
            thread,
            device,
            command,
            text,
            found: now,
            confirmed: false,
        })
    }

    fn text(&self, pid: u32, thread: u32) -> Option<Vec<u8>> {
        let path = self.processes.path(pid, &format!("task/{thread}/syscall"));
        read_bounded(&path, MOST_BYTES).ok()
    }

    /// Forgets those that have ended. `known` are the calls that the programs know, as process id (upper half) and thread id;
    /// they are to be read after [`look`](Self::look).
    pub(super) fn check(&mut self, known: &BTreeSet<u64>) {
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain_mut(|call| {
            let owner = u64::from(call.process.pid) << 32 | u64::from(call.thread);
            let lasts = !known.contains(&owner)
                && self.text(call.process.pid, call.thread).as_ref() == Some(&call.text)
                && self.processes.is_alive(call.process);
            if !lasts && call.confirmed {
                self.ended += 1;
            }
            call.confirmed = true;
            lasts
        });
        self.calls = calls;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Process and index of the device of each call.
    pub(super) fn callers(&self) -> impl Iterator<Item = (u32, u32)> {
        self.calls.iter().map(|call| (call.process.pid, call.device))
    }

    /// Number of calls that have ended since the last time: they are in no count of calls.
    pub(super) fn take_ended(&mut self) -> u64 {
        std::mem::take(&mut self.ended)
    }

    /// Calls in flight, and the age of the oldest, of each process and device.
    pub(super) fn points(&self, attributes: &mut AttributeCache, devices: &DeviceTable, now: Moment) -> Vec<Point> {
        let mut all: BTreeMap<_, (i64, Instant)> = BTreeMap::new();
        for call in &self.calls {
            let Some(id) = devices.id(call.device) else { continue };
            if !devices.command(call.device, Some(call.command)).wait {
                let (count, oldest) = all.entry((call.process, id)).or_insert((0, call.found));
                *count += 1;
                *oldest = call.found.min(*oldest);
            }
        }
        let mut points = Vec::new();
        for ((process, id), (count, oldest)) in all {
            let Some(attributes) = attributes.get(devices, id, Detail::Device) else {
                continue;
            };
            let age = now.instant.saturating_duration_since(oldest).as_secs_f64();
            for (instrument, value) in [(&INFLIGHT, Value::Int(count)), (&INFLIGHT_AGE, Value::Double(age))] {
                points.push(Point {
                    instrument,
                    attributes: Arc::clone(&attributes),
                    owner: Some(Owner::Process {
                        process,
                        always_pid: false,
                    }),
                    value,
                    time: now.wall,
                    start: None,
                });
            }
        }
        points
    }
}

/// Descriptor and command of a thread that waits in an ioctl(2): `16 0x3 0x5421 0x7ffe… …`. A thread that runs has `running`.
fn ioctl(text: &[u8]) -> Option<(u32, u32)> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let number: u64 = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    // The kernel takes the lower half of both.
    let (descriptor, command) = (argument()? as u32, argument()? as u32);
    IOCTL.contains(&number).then_some((descriptor, command))
}
