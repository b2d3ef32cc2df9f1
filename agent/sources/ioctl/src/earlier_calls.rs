//! Calls that had begun before programs were attached that see it. While they last, `/proc/<pid>/task/<tid>/syscall` shows
//! them (proc_pid_syscall(5); needs `CAP_SYS_PTRACE`).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attribute_cache::{AttributeCache, Detail};
use super::device_table::DeviceTable;
use super::holders::Holders;
use crate::catalogue::{INFLIGHT, INFLIGHT_AGE};
use accelscope_core::host::HostRoots;
use accelscope_core::host::bounded::read_bounded;
use accelscope_core::host::descriptors::cpu_time;
use accelscope_core::host::process::Processes;
use accelscope_core::metric::{Moment, Owner, Point, ProcessKey, Value};

/// Number of ioctl(2): in the kernel's own table and, on `x86_64`, to x32 programs.
const IOCTL: &[u64] = if cfg!(target_arch = "aarch64") {
    &[29]
} else {
    &[16, 0x4000_0202]
};
/// The same to 32-bit programs. To others it is setsockopt(2) on `x86_64` and fchownat(2) on arm64, neither of which waits
/// on a device.
const COMPAT_IOCTL: u64 = 54;
/// The kernel's functions in which a thread waits that is stopped or frozen on its way out of a system call: `get_signal` of
/// `kernel/signal.c` and what it calls, `__refrigerator` of `kernel/freezer.c`.
const ON_THE_WAY_OUT: &[&str] = &[
    "do_signal_stop",
    "ptrace_stop",
    "get_signal",
    "do_freezer_trap",
    "__refrigerator",
];
/// Most calls that are kept, in all and of one process, and most threads of one process that are looked at for them.
const MOST_CALLS: usize = 8192;
const MOST_OF_PROCESS: usize = 1024;
const MOST_THREADS: usize = 16_384;
/// Most calls of devices that are gone whose owners are kept.
const MOST_ABANDONED: usize = 8192;
/// Shortest and longest time between two checks, and between them as a multiple of the last one's CPU time.
const CHECK: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
const REST: u32 = 1000;
/// Limit of `syscall`: nine numbers.
const MOST_BYTES: usize = 1024;

/// A device whose calls are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// Its index.
    pub(super) device: u32,
    /// Whether those of 32-bit programs are.
    pub(super) compat: bool,
}

/// A call that may be unknown to the programs.
#[derive(Debug)]
struct Call {
    process: ProcessKey,
    thread: u32,
    /// Index of its device.
    device: u32,
    command: u32,
    /// Content of `syscall`: number, arguments, and where in its program the thread is.
    text: Vec<u8>,
    /// When it was found: it is older.
    found: Instant,
    /// Whether it was there after the programs had been asked which calls they know.
    confirmed: bool,
    /// Whether it is counted as lost already.
    is_counted: bool,
}

impl Call {
    /// Process id (upper half) and thread id, as the programs have them.
    fn owner(&self) -> u64 {
        owner(self.process.pid, self.thread)
    }
}

fn owner(pid: u32, thread: u32) -> u64 {
    u64::from(pid) << 32 | u64::from(thread)
}

/// The calls that the programs have not seen begin.
#[derive(Debug)]
pub(super) struct EarlierCalls {
    processes: Processes,
    /// Devices whose calls have been looked for, by number.
    looked: BTreeSet<u64>,
    calls: Vec<Call>,
    /// Owners of calls in flight that the programs knew when their device went, and that are counted as lost.
    abandoned: BTreeSet<u64>,
    missed: u64,
    /// When to check again.
    due: Option<Instant>,
}

impl EarlierCalls {
    pub(super) fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            looked: BTreeSet::new(),
            calls: Vec::new(),
            abandoned: BTreeSet::new(),
            missed: 0,
            due: None,
        }
    }

    /// Notes calls that were given up with their device.
    pub(super) fn note_abandoned(&mut self, owners: impl IntoIterator<Item = u64>) {
        let room = MOST_ABANDONED.saturating_sub(self.abandoned.len());
        self.abandoned.extend(owners.into_iter().take(room));
    }

    /// Looks for calls of those of these devices, by number, that have programs since the last time.
    pub(super) fn look(&mut self, counted: &BTreeMap<u64, Counted>, holders: &Holders, now: Instant) {
        let new: BTreeMap<u64, Counted> = counted
            .iter()
            .filter(|(number, _)| !self.looked.contains(number))
            .map(|(number, device)| (*number, *device))
            .collect();
        self.looked = counted.keys().copied().collect();
        let processes: BTreeSet<ProcessKey> = new.keys().flat_map(|number| holders.of(*number)).collect();
        // One whose device was gone for a while.
        let known: BTreeSet<(u64, Vec<u8>)> = self
            .calls
            .iter()
            .map(|call| (call.owner(), call.text.clone()))
            .collect();
        for process in processes {
            let threads = self.processes.threads(process.pid);
            let calls = threads.into_iter().take(MOST_THREADS);
            let mut calls: Vec<Call> = calls
                .filter_map(|thread| self.call(process, thread, &new, now))
                .filter(|call| !known.contains(&(call.owner(), call.text.clone())))
                .collect();
            let room = MOST_OF_PROCESS.min(MOST_CALLS - self.calls.len());
            if calls.len() > room {
                tracing::warn!(
                    pid = process.pid,
                    shown = room,
                    all = calls.len(),
                    "more calls that began before the agent than are shown as in flight: the rest is counted in \
                     agent.ioctl.lost as entry_missed"
                );
                self.missed += (calls.len() - room) as u64;
                calls.truncate(room);
            }
            self.calls.extend(calls);
        }
        self.due = None;
    }

    fn call(&self, process: ProcessKey, thread: u32, devices: &BTreeMap<u64, Counted>, now: Instant) -> Option<Call> {
        let text = self.text(process.pid, thread)?;
        let (number, descriptor, command) = system_call(&text)?;
        let is_compat = number == COMPAT_IOCTL;
        if !is_compat && !IOCTL.contains(&number) {
            return None;
        }
        let file = format!("task/{thread}/fd/{descriptor}");
        let file = self.processes.file(process.pid, &file, Path::metadata).ok()?;
        // Where the programs do not see those of 32-bit programs, a call could not be distinguished from the next one.
        let counted = devices.get(&file.rdev()).filter(|one| one.compat || !is_compat)?;
        let (state, waits_in) = self.processes.thread_state(process.pid, thread).ok()?;
        if matches!(state, 'T' | 't' | 'Z' | 'X') || ON_THE_WAY_OUT.contains(&&*waits_in) {
            return None;
        }
        let is_counted = self.abandoned.contains(&owner(process.pid, thread));
        Some(Call {
            process,
            thread,
            device: counted.device,
            command,
            text,
            found: now,
            confirmed: false,
            is_counted,
        })
    }

    fn text(&self, pid: u32, thread: u32) -> Option<Vec<u8>> {
        let name = format!("task/{thread}/syscall");
        self.processes
            .file(pid, &name, |path| read_bounded(path, MOST_BYTES))
            .ok()
    }

    /// Whether it is time to [`check`](Self::check).
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.calls.is_empty() && self.due.is_none_or(|due| now >= due)
    }

    /// Forgets those that have ended. `known` are the owners of the calls that the programs know; they are to be read after
    /// [`look`](Self::look).
    pub(super) fn check(&mut self, known: &BTreeSet<u64>, now: Instant) {
        let begun = cpu_time();
        let processes: BTreeSet<ProcessKey> = self.calls.iter().map(|call| call.process).collect();
        let alive: BTreeSet<ProcessKey> = processes
            .into_iter()
            .filter(|process| self.processes.is_alive(*process))
            .collect();
        let mut calls = std::mem::take(&mut self.calls);
        calls.retain_mut(|call| {
            let lasts = alive.contains(&call.process)
                && !known.contains(&call.owner())
                && self.text(call.process.pid, call.thread).as_ref() == Some(&call.text);
            if !lasts && call.confirmed {
                self.missed += u64::from(!call.is_counted);
                self.abandoned.remove(&call.owner());
            }
            call.confirmed = true;
            lasts
        });
        self.calls = calls;
        let [shortest, longest] = CHECK;
        self.due = Some(now + (cpu_time().saturating_sub(begun) * REST).clamp(shortest, longest));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Process and index of the device of each call.
    pub(super) fn callers(&self) -> impl Iterator<Item = (u32, u32)> {
        self.calls.iter().map(|call| (call.process.pid, call.device))
    }

    /// Number of calls since the last time that will be in no count of calls.
    pub(super) fn take_missed(&mut self) -> u64 {
        std::mem::take(&mut self.missed)
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

/// Number, first and second argument of the system call in which a thread waits: `16 0x3 0x5421 0x7ffe… …`. One that runs
/// has `running`.
fn system_call(text: &[u8]) -> Option<(u64, u32, u32)> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    // ioctl(2) takes the lower half of both.
    Some((number, argument()? as u32, argument()? as u32))
}
