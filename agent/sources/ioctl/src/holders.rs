//! Which processes hold each device open.
//!
//! One walk through `/proc/*/fd` at the start; then a process that is seen to call ioctl(2) on a device is added, as are those
//! in its control group that hold one, the descriptors of the known holders are read again, and a whole walk now and then
//! finds the holders that make no call. A process whose call is in flight holds the device even if it has closed the
//! descriptor.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::host::descriptors::{Pace, char_devices, cpu_time};
use accelscope_core::host::process::Processes;
use accelscope_core::host::stuck::apart;
use accelscope_core::metric::ProcessKey;

/// Shortest time between two whole walks without events.
const WALK: Duration = Duration::from_secs(1);
/// The same with events.
const WALK_WITH_EVENTS: Duration = Duration::from_secs(30);
/// The same where the drivers' reference counts show that a device was opened or closed.
const WALK_AFTER_CHANGE: Duration = Duration::from_secs(2);
/// Shortest and longest time between two looks at what runs beside the callers, and between them as a multiple of the last
/// one's CPU time.
const BESIDE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
const BESIDE_REST: u32 = 1000;
/// Shortest and longest time between two readings of the known holders' descriptors, and between them as a multiple of the last
/// one's CPU time: whoever may open a device may have thousands of descriptors.
const CHECK: Duration = Duration::from_secs(1);
const LATEST_CHECK: Duration = Duration::from_mins(1);
const CHECK_REST: u32 = 200;
/// Most processes that are kept.
const MAX_PROCESSES: usize = 4096;

/// How new holders are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// By the first ioctl(2) of each process: programs are attached.
    Events,
    /// By walks alone.
    Walks,
}

/// Numbers of devices by the process that holds them.
type Held = BTreeMap<ProcessKey, BTreeSet<u64>>;

fn has(held: &Held, process: &ProcessKey, number: u64) -> bool {
    held.get(process).is_some_and(|devices| devices.contains(&number))
}

/// The holders of the watched devices.
#[derive(Debug)]
pub struct Holders {
    processes: Processes,
    numbers: Arc<BTreeSet<u64>>,
    /// By their descriptors.
    held: Held,
    /// By their calls in flight.
    calling: Held,
    changed: bool,
    pace: Pace,
    /// When to read the known holders' descriptors again.
    check_at: Option<Instant>,
    /// When to look again beside the callers.
    beside: Option<Instant>,
    hidden: usize,
    dropped: u64,
    lost_one: bool,
}

impl Holders {
    /// None before the first [`update`](Self::update).
    pub fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            numbers: Arc::default(),
            held: Held::new(),
            calling: Held::new(),
            changed: false,
            pace: Pace::default(),
            check_at: None,
            beside: None,
            hidden: 0,
            dropped: 0,
            lost_one: false,
        }
    }

    /// Sets the watched devices. A device that was not watched before makes the next [`update`](Self::update) walk.
    pub fn watch(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let numbers: BTreeSet<u64> = numbers.into_iter().collect();
        if numbers == *self.numbers {
            return;
        }
        let more = !numbers.is_subset(&self.numbers);
        self.numbers = Arc::new(numbers);
        for held in self.held.values_mut() {
            held.retain(|number| self.numbers.contains(number));
        }
        self.held.retain(|_, held| !held.is_empty());
        self.changed = true;
        if more {
            self.pace = Pace::default();
        }
    }

    /// Reads the descriptors of the known holders, or of all processes where a walk is due. `references` is the sum of the
    /// reference counts of the devices' modules, where all are known.
    ///
    /// Fails where `/proc` cannot be read; the holders stay as they were.
    pub fn update(&mut self, discovery: Discovery, references: Option<u64>, now: Instant) -> io::Result<()> {
        if self.numbers.is_empty() {
            self.held.clear();
            self.calling.clear();
            return Ok(());
        }
        let soonest = match discovery {
            Discovery::Events if self.pace.is_changed(references) => WALK_AFTER_CHANGE,
            Discovery::Events => WALK_WITH_EVENTS,
            Discovery::Walks => WALK,
        };
        if now >= self.pace.due(now, soonest, references, self.lost_one) {
            return self.walk(references, now);
        }
        if self.check_at.is_none_or(|due| now >= due) {
            self.check(now);
        }
        Ok(())
    }

    /// Adds a process that was seen to use a device. One that has ended by now is left out.
    pub fn opened_by(&mut self, pid: u32, number: u64) {
        if !self.numbers.contains(&number) {
            return;
        }
        let Ok(process) = self.processes.key(pid) else { return };
        if self.held.len() >= MAX_PROCESSES && !self.held.contains_key(&process) {
            self.dropped += 1;
            return;
        }
        self.changed |= self.held.entry(process).or_default().insert(number);
    }

    /// Sets the processes with calls in flight, and the devices' numbers.
    pub fn calling(&mut self, calls: impl IntoIterator<Item = (u32, u64)>) {
        let mut calling = Held::new();
        let mut last = None;
        for (pid, number) in calls.into_iter().filter(|(_, number)| self.numbers.contains(number)) {
            // Several devices of one process follow each other.
            let known = last.filter(|key: &ProcessKey| key.pid == pid);
            let Some(process) = known.or_else(|| self.processes.key(pid).ok()) else {
                continue;
            };
            last = Some(process);
            if calling.len() < MAX_PROCESSES || calling.contains_key(&process) {
                calling.entry(process).or_default().insert(number);
            }
        }
        // What its descriptor shows of a process, no call adds to.
        let more = |these: &Held, than: &Held| {
            let mut these = these.iter();
            these.any(|(key, devices)| {
                devices
                    .iter()
                    .any(|one| !has(than, key, *one) && !has(&self.held, key, *one))
            })
        };
        self.changed |= more(&calling, &self.calling) || more(&self.calling, &calling);
        self.calling = calling;
    }

    /// Whether it is time to [`look_beside`](Self::look_beside) again: it costs a thousandth of a processor at most.
    pub fn may_look_beside(&self, now: Instant) -> bool {
        self.pace.walked_at().is_some() && self.beside.is_none_or(|due| now >= due)
    }

    /// Adds those of these processes that hold a device. To list them may be a part of what it costs.
    pub fn look_beside(&mut self, pids: impl IntoIterator<Item = u32>, now: Instant) {
        let begun = cpu_time();
        let known: BTreeSet<u32> = self.held.keys().map(|key| key.pid).collect();
        let pids: BTreeSet<u32> = pids.into_iter().filter(|pid| !known.contains(pid)).collect();
        let (found, took) = self.devices_of_all(pids);
        for (process, devices) in found {
            if self.held.len() >= MAX_PROCESSES {
                self.dropped += 1;
                continue;
            }
            self.changed = true;
            self.held.insert(process, devices);
        }
        let took = took + cpu_time().saturating_sub(begun);
        let [shortest, longest] = BESIDE;
        self.beside = Some(now + (took * BESIDE_REST).clamp(shortest, longest));
    }

    /// Those of these processes that hold a device, and the CPU time that it took to read their descriptors.
    fn devices_of_all(&self, pids: BTreeSet<u32>) -> (Vec<(ProcessKey, BTreeSet<u64>)>, Duration) {
        if pids.is_empty() {
            return Default::default();
        }
        let (processes, numbers) = (self.processes.clone(), self.numbers.clone());
        let looked = apart(move || {
            let begun = cpu_time();
            let devices = |pid: &u32| devices_of(&processes, &numbers, *pid).ok()?;
            let found: Vec<_> = pids.iter().filter_map(devices).collect();
            (found, cpu_time().saturating_sub(begun))
        });
        // Without a thread for it nothing is found.
        looked.unwrap_or_default()
    }

    /// The holders of a device.
    pub fn of(&self, number: u64) -> impl Iterator<Item = ProcessKey> {
        let holds = move |(_, held): &(&ProcessKey, &BTreeSet<u64>)| held.contains(&number);
        // Each once.
        let by_call = self
            .calling
            .iter()
            .filter(move |(key, _)| !has(&self.held, key, number));
        let all = self.held.iter().chain(by_call);
        all.filter(holds).map(|(key, _)| *key)
    }

    /// Whether there were other holders at the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Number of processes with unreadable descriptors in the last walk: they may hold a device unseen (needs
    /// `CAP_SYS_PTRACE`, and the host's PID namespace).
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Number of holders beyond the limit, which were left out.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the descriptors of all processes were read, so that a device without holders is not open.
    pub fn is_complete(&self) -> bool {
        self.pace.walked_at().is_some() && self.hidden == 0 && self.dropped == 0
    }

    fn walk(&mut self, references: Option<u64>, now: Instant) -> io::Result<()> {
        let (processes, numbers) = (self.processes.clone(), self.numbers.clone());
        let walked = self.pace.walk(now, references, move || {
            let (mut held, mut hidden, mut dropped) = (BTreeMap::new(), 0, 0);
            for pid in processes.pids()? {
                match devices_of(&processes, &numbers, pid) {
                    Ok(Some(_)) if held.len() >= MAX_PROCESSES => dropped += 1,
                    Ok(Some((key, devices))) => drop(held.insert(key, devices)),
                    Err(error) if is_hidden(&error) => hidden += 1,
                    // It holds none, or has ended.
                    Ok(None) | Err(_) => {}
                }
            }
            Ok::<_, io::Error>((held, hidden, dropped))
        });
        self.check_at = Some(now + CHECK);
        self.lost_one = false;
        let (held, hidden, dropped) = walked??;
        self.changed |= held != self.held;
        (self.held, self.hidden, self.dropped) = (held, hidden, dropped);
        Ok(())
    }

    /// Cheap: few of all processes are holders.
    fn check(&mut self, now: Instant) {
        let keys: Vec<ProcessKey> = self.held.keys().copied().collect();
        if keys.is_empty() {
            self.check_at = Some(now + CHECK);
            return;
        }
        let (processes, numbers) = (self.processes.clone(), self.numbers.clone());
        let read = apart(move || {
            let begun = cpu_time();
            let look = |key: &ProcessKey| match devices_of(&processes, &numbers, key.pid) {
                Ok(Some((now, devices))) if now == *key => Checked::Holds(devices),
                // It is known by an event, and cannot be checked.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && processes.is_alive(*key) => {
                    Checked::Stays
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => Checked::Stays,
                _ => Checked::Gone,
            };
            let all: Vec<_> = keys.iter().map(|key| (*key, look(key))).collect();
            (all, cpu_time().saturating_sub(begun))
        });
        // Without a thread for it all stay.
        let (all, took) = read.unwrap_or_default();
        self.check_at = Some(now + (took * CHECK_REST).clamp(CHECK, LATEST_CHECK));
        for (key, checked) in all {
            let devices = match checked {
                Checked::Holds(devices) => Some(devices),
                Checked::Stays => continue,
                Checked::Gone => None,
            };
            if let Some(devices) = devices {
                self.changed |= self.held.insert(key, devices.clone()).as_ref() != Some(&devices);
            } else {
                self.lost_one |= self.held.remove(&key).is_some();
                self.changed |= self.lost_one;
            }
        }
    }
}

/// What is known of a holder when its descriptors were read again.
#[derive(Debug)]
enum Checked {
    Holds(BTreeSet<u64>),
    Stays,
    Gone,
}

/// Whether a process may hold a device unseen.
fn is_hidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::TimedOut)
}

/// The watched devices that a process holds, if any. Its start is read last: of two processes with one id the later one is
/// named, and found to hold nothing at the next check.
fn devices_of(
    processes: &Processes,
    numbers: &Arc<BTreeSet<u64>>,
    pid: u32,
) -> io::Result<Option<(ProcessKey, BTreeSet<u64>)>> {
    let wanted = numbers.clone();
    let open = char_devices(processes, pid, move |number| wanted.contains(&number))?;
    let devices: BTreeSet<u64> = open.into_iter().collect();
    if devices.is_empty() {
        return Ok(None);
    }
    Ok(Some((processes.key(pid)?, devices)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Child, Command};

    use super::*;

    fn full() -> u64 {
        rustix::fs::makedev(1, 7)
    }

    fn zero() -> u64 {
        rustix::fs::makedev(1, 5)
    }

    fn holding(path: &str) -> Child {
        let device = File::open(path).unwrap();
        Command::new("sleep").arg("1000").stdin(device).spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn holds(holders: &Holders, number: u64, pid: u32) -> bool {
        holders.of(number).any(|key| key.pid == pid)
    }

    fn watching(numbers: &[u64]) -> Holders {
        let mut holders = Holders::new(&HostRoots::new("/"));
        holders.watch(numbers.iter().copied());
        holders
    }

    #[test]
    fn the_first_walk_finds_who_held_a_device_before() {
        let child = holding("/dev/full");
        let mut holders = watching(&[full(), zero()]);
        holders.update(Discovery::Events, None, Instant::now()).unwrap();
        assert!(holds(&holders, full(), child.id()));
        assert!(!holds(&holders, zero(), child.id()));
        assert_eq!(holders.dropped(), 0);
        end(child);
    }

    #[test]
    fn a_holder_that_ended_is_gone_at_the_next_check() {
        let child = holding("/dev/full");
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Discovery::Events, None, begun).unwrap();
        let pid = child.id();
        end(child);
        holders.update(Discovery::Events, None, begun + CHECK).unwrap();
        assert!(!holds(&holders, full(), pid));
    }

    #[test]
    fn holders_with_many_descriptors_are_read_less_often() {
        let device = File::open("/dev/full").unwrap();
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Discovery::Events, None, begun).unwrap();
        holders.update(Discovery::Events, None, begun + CHECK).unwrap();
        let few = holders.check_at.unwrap();
        let others: Vec<File> = (0..8192).map_while(|_| device.try_clone().ok()).collect();
        holders.check(begun + CHECK);
        let many = holders.check_at.unwrap();
        assert!(few >= begun + 2 * CHECK && many > few, "{} descriptors", others.len());
    }

    #[test]
    fn an_event_adds_a_holder_between_two_walks() {
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Discovery::Events, None, begun).unwrap();
        let child = holding("/dev/full");
        holders.update(Discovery::Events, None, begun + CHECK).unwrap();
        assert!(!holds(&holders, full(), child.id()), "no event yet");
        holders.opened_by(child.id(), full());
        holders.opened_by(child.id(), zero());
        assert!(holds(&holders, full(), child.id()));
        assert!(!holds(&holders, zero(), child.id()), "it is not watched");
        assert!(holders.take_changed() && !holders.take_changed());
        holders.update(Discovery::Events, None, begun + CHECK * 2).unwrap();
        assert!(holds(&holders, full(), child.id()));
        let pid = child.id();
        end(child);
        holders.update(Discovery::Events, None, begun + CHECK * 3).unwrap();
        assert!(!holds(&holders, full(), pid));
    }

    #[test]
    fn a_closed_descriptor_is_no_closed_device_while_another_is_open() {
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Discovery::Events, None, begun).unwrap();
        let (first, second) = (File::open("/dev/full").unwrap(), File::open("/dev/full").unwrap());
        let own = std::process::id();
        holders.opened_by(own, full());
        drop(first);
        holders.update(Discovery::Events, None, begun + CHECK).unwrap();
        assert!(holds(&holders, full(), own));
        drop(second);
    }

    #[test]
    fn without_events_a_new_holder_is_found_by_the_walk() {
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Discovery::Walks, None, begun).unwrap();
        let child = holding("/dev/full");
        // The rest after a walk is bounded by a minute.
        let later = begun + Duration::from_mins(1);
        holders.update(Discovery::Walks, None, later).unwrap();
        assert!(holds(&holders, full(), child.id()));
        end(child);
    }

    #[test]
    fn a_device_that_is_no_longer_watched_has_no_holders() {
        let child = holding("/dev/full");
        let mut holders = watching(&[full()]);
        holders.update(Discovery::Events, None, Instant::now()).unwrap();
        holders.watch([zero()]);
        assert_eq!(holders.of(full()).count(), 0);
        // Another device makes it walk at once.
        holders.watch([zero(), full()]);
        holders.update(Discovery::Events, None, Instant::now()).unwrap();
        assert!(holds(&holders, full(), child.id()));
        holders.watch([]);
        holders.update(Discovery::Events, None, Instant::now()).unwrap();
        assert_eq!(holders.of(full()).count(), 0);
        end(child);
    }
}
