//! Which processes hold each device open.
//!
//! One walk through `/proc/*/fd` at the start, then events (a process that calls ioctl on a device has it open), a look at
//! the known holders' own descriptors, and a whole walk now and then for what no event told.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::host::descriptors::{Pace, char_devices};
use accelscope_core::host::process::Processes;
use accelscope_core::metric::ProcessKey;

/// Shortest time between two whole walks where nothing else tells of holders.
const SOONEST: Duration = Duration::from_secs(1);
/// The same while events tell.
const SOONEST_WITH_EVENTS: Duration = Duration::from_secs(30);
/// How often the known holders' descriptors are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Most processes that are kept.
const MAX_PROCESSES: usize = 4096;

/// Whether events tell of processes that open a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Programs in the kernel see every ioctl.
    ByEvents,
    /// Nothing does: the walk alone finds them.
    ByNothing,
}

/// The holders of the watched devices.
#[derive(Debug)]
pub struct Holders {
    processes: Processes,
    numbers: BTreeSet<u64>,
    held: BTreeMap<ProcessKey, BTreeSet<u64>>,
    pace: Pace,
    looked: Option<Instant>,
    hidden: usize,
    dropped: u64,
    lost_one: bool,
}

impl Holders {
    /// Of a host's processes; nobody before the first [`update`](Self::update).
    pub fn new(roots: &HostRoots) -> Self {
        Self {
            processes: Processes::new(roots),
            numbers: BTreeSet::new(),
            held: BTreeMap::new(),
            pace: Pace::default(),
            looked: None,
            hidden: 0,
            dropped: 0,
            lost_one: false,
        }
    }

    /// Which devices are watched now. Other devices than before make the next [`update`](Self::update) walk.
    pub fn watch(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let numbers: BTreeSet<u64> = numbers.into_iter().collect();
        if numbers == self.numbers {
            return;
        }
        let more = !numbers.is_subset(&self.numbers);
        self.numbers = numbers;
        for held in self.held.values_mut() {
            held.retain(|number| self.numbers.contains(number));
        }
        self.held.retain(|_, held| !held.is_empty());
        if more {
            self.pace = Pace::default();
        }
    }

    /// Looks at the known holders, and walks through all processes where it is time to. `references` is how many users the
    /// kernel counts for the devices' modules, where all of them tell that.
    ///
    /// Fails where `/proc` cannot be read; what was known stays.
    pub fn update(&mut self, told: Told, references: Option<u64>, now: Instant) -> io::Result<()> {
        if self.numbers.is_empty() {
            self.held.clear();
            return Ok(());
        }
        let soonest = match told {
            Told::ByEvents => SOONEST_WITH_EVENTS,
            Told::ByNothing => SOONEST,
        };
        if now >= self.pace.due(now, soonest, references, self.lost_one) {
            return self.walk(references, now);
        }
        if self.looked.is_none_or(|looked| now >= looked + LOOK) {
            self.look(now);
        }
        Ok(())
    }

    /// A process was seen to use a device, so that it has it open.
    pub fn opened(&mut self, process: ProcessKey, number: u64) {
        if !self.numbers.contains(&number) {
            return;
        }
        if self.held.len() >= MAX_PROCESSES && !self.held.contains_key(&process) {
            self.dropped += 1;
            return;
        }
        self.held.entry(process).or_default().insert(number);
    }

    /// The same by a process id alone. One that has ended by now holds nothing any more.
    pub fn opened_by(&mut self, pid: u32, number: u64) {
        if let Ok(process) = self.processes.key(pid) {
            self.opened(process, number);
        }
    }

    /// A process closed a descriptor of a device. It may have others of it, so that its descriptors are looked at.
    pub fn closed(&mut self, pid: u32) {
        let keys: Vec<ProcessKey> = self.of_pid(pid).collect();
        for key in keys {
            self.look_at(key);
        }
    }

    /// A process has ended.
    pub fn exited(&mut self, pid: u32) {
        let keys: Vec<ProcessKey> = self.of_pid(pid).collect();
        for key in keys {
            self.held.remove(&key);
        }
    }

    /// Who holds a device.
    pub fn of(&self, number: u64) -> impl Iterator<Item = ProcessKey> {
        let holds = move |held: &BTreeSet<u64>| held.contains(&number);
        self.held
            .iter()
            .filter(move |(_, held)| holds(held))
            .map(|(key, _)| *key)
    }

    /// How many processes could not be looked into at the last walk: they may hold a device unseen (needs
    /// `CAP_SYS_PTRACE`, and the host's PID namespace).
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// How many holders were left out, because there were too many.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether all processes have been looked at, so that a device without holders is known to have none.
    pub fn is_complete(&self) -> bool {
        self.pace.walked_at().is_some() && self.hidden == 0 && self.dropped == 0
    }

    fn of_pid(&self, pid: u32) -> impl Iterator<Item = ProcessKey> {
        let first = ProcessKey { pid, start_ticks: 0 };
        let last = ProcessKey {
            pid,
            start_ticks: u64::MAX,
        };
        self.held.range(first..=last).map(|(key, _)| *key)
    }

    fn walk(&mut self, references: Option<u64>, now: Instant) -> io::Result<()> {
        let (processes, numbers) = (&self.processes, &self.numbers);
        let walked = self.pace.walk(now, references, || {
            let (mut held, mut hidden, mut dropped) = (BTreeMap::new(), 0, 0);
            for pid in processes.pids()? {
                match devices_of(processes, numbers, pid) {
                    Ok(Some(_)) if held.len() >= MAX_PROCESSES => dropped += 1,
                    Ok(Some((key, devices))) => drop(held.insert(key, devices)),
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden += 1,
                    // It holds none, or has ended.
                    Ok(None) | Err(_) => {}
                }
            }
            Ok::<_, io::Error>((held, hidden, dropped))
        });
        self.looked = Some(now);
        self.lost_one = false;
        (self.held, self.hidden, self.dropped) = walked?;
        Ok(())
    }

    /// Cheap: there are few holders among all processes.
    fn look(&mut self, now: Instant) {
        self.looked = Some(now);
        let keys: Vec<ProcessKey> = self.held.keys().copied().collect();
        for key in keys {
            self.look_at(key);
        }
    }

    fn look_at(&mut self, key: ProcessKey) {
        let still = match devices_of(&self.processes, &self.numbers, key.pid) {
            Ok(Some((now, devices))) if now == key => Some(devices),
            // An event told of it, and nothing else can.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.processes.is_alive(key) => return,
            _ => None,
        };
        match still {
            Some(devices) => {
                self.held.insert(key, devices);
            }
            None => {
                self.lost_one |= self.held.remove(&key).is_some();
            }
        }
    }
}

/// The watched devices that a process holds, if any. Its start is read after them: of two processes with one id the later
/// one is named, and found to hold nothing at the next look.
fn devices_of(
    processes: &Processes,
    numbers: &BTreeSet<u64>,
    pid: u32,
) -> io::Result<Option<(ProcessKey, BTreeSet<u64>)>> {
    let open = char_devices(processes, pid)?;
    let devices: BTreeSet<u64> = open.filter(|number| numbers.contains(number)).collect();
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
        Command::new("sleep").arg("60").stdin(device).spawn().unwrap()
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
        holders.update(Told::ByEvents, None, Instant::now()).unwrap();
        assert!(holds(&holders, full(), child.id()));
        assert!(!holds(&holders, zero(), child.id()));
        assert_eq!(holders.dropped(), 0);
        end(child);
    }

    #[test]
    fn a_holder_that_ended_is_gone_at_the_next_look() {
        let child = holding("/dev/full");
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Told::ByEvents, None, begun).unwrap();
        let pid = child.id();
        end(child);
        holders.update(Told::ByEvents, None, begun + LOOK).unwrap();
        assert!(!holds(&holders, full(), pid));
    }

    #[test]
    fn an_event_tells_of_a_holder_between_two_walks() {
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Told::ByEvents, None, begun).unwrap();
        let child = holding("/dev/full");
        holders.update(Told::ByEvents, None, begun + LOOK).unwrap();
        assert!(!holds(&holders, full(), child.id()), "nothing told of it yet");
        holders.opened_by(child.id(), full());
        holders.opened_by(child.id(), zero());
        assert!(holds(&holders, full(), child.id()));
        assert!(!holds(&holders, zero(), child.id()), "it is not watched");
        // It is looked at and found to hold it indeed.
        holders.update(Told::ByEvents, None, begun + LOOK * 2).unwrap();
        assert!(holds(&holders, full(), child.id()));
        holders.exited(child.id());
        assert!(!holds(&holders, full(), child.id()));
        end(child);
    }

    #[test]
    fn a_closed_descriptor_is_no_closed_device_while_another_is_open() {
        let mut holders = watching(&[full()]);
        let (first, second) = (File::open("/dev/full").unwrap(), File::open("/dev/full").unwrap());
        let own = std::process::id();
        holders.opened_by(own, full());
        drop(first);
        holders.closed(own);
        assert!(holds(&holders, full(), own));
        drop(second);
    }

    #[test]
    fn without_events_a_new_holder_is_found_by_the_walk() {
        let mut holders = watching(&[full()]);
        let begun = Instant::now();
        holders.update(Told::ByNothing, None, begun).unwrap();
        let child = holding("/dev/full");
        // The rest after a walk is bounded by a minute.
        let later = begun + Duration::from_mins(1);
        holders.update(Told::ByNothing, None, later).unwrap();
        assert!(holds(&holders, full(), child.id()));
        end(child);
    }

    #[test]
    fn a_device_that_is_no_longer_watched_has_no_holders() {
        let child = holding("/dev/full");
        let mut holders = watching(&[full()]);
        holders.update(Told::ByEvents, None, Instant::now()).unwrap();
        holders.watch([zero()]);
        assert_eq!(holders.of(full()).count(), 0);
        // Another device makes it walk at once.
        holders.watch([zero(), full()]);
        holders.update(Told::ByEvents, None, Instant::now()).unwrap();
        assert!(holds(&holders, full(), child.id()));
        holders.watch([]);
        holders.update(Told::ByEvents, None, Instant::now()).unwrap();
        assert_eq!(holders.of(full()).count(), 0);
        end(child);
    }
}
