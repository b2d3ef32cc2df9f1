//! From the processes that hold an accelerator to the groups that they are in.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::cgroup::Cgroup;
use accelscope_core::fair::{Demand, grouped_limits};
use accelscope_core::holders::Held;
use accelscope_core::host::cgroups::{GroupFinder, Groups};
use accelscope_core::host::process::Processes;
use accelscope_core::host::stuck::apart;
use accelscope_core::metric::{AttributeValue, Attributes, ProcessKey};

/// How often a process' groups are read again: it may have been moved.
pub(super) const REFRESH: Duration = Duration::from_mins(1);
/// Most processes whose groups are looked for, and most that are read.
const MAX_LOOKED_FOR: usize = 8192;
pub(super) const MAX_PROCESSES: usize = 4096;
/// Most groups.
pub(super) const MAX_GROUPS: usize = 512;
/// Most devices that are shown of a group.
const MAX_DEVICES: usize = 64;

/// What is known of a process.
#[derive(Debug)]
struct Known {
    /// Nothing where it is in no container, unit and job.
    groups: Option<Arc<Groups>>,
    read: Instant,
}

/// A group with the processes of it that hold, and the devices.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) cgroup: Arc<Cgroup>,
    pub(super) groups: Arc<Groups>,
    pub(super) processes: Vec<ProcessKey>,
    pub(super) devices: Vec<Arc<Attributes>>,
}

/// The groups, and what was left out beyond the bounds.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    pub(super) found: Vec<Found>,
    pub(super) groups_left_out: u64,
    pub(super) processes_left_out: u64,
}

#[derive(Debug)]
pub(super) struct Members {
    processes: Processes,
    finder: GroupFinder,
    known: HashMap<ProcessKey, Known>,
    /// Of each device, built once.
    devices: HashMap<(&'static str, AttributeValue), Arc<Attributes>>,
}

impl Members {
    pub(super) fn new(processes: Processes, finder: GroupFinder) -> Self {
        Self {
            processes,
            finder,
            known: HashMap::new(),
            devices: HashMap::new(),
        }
    }

    /// The groups of these holders. Groups that were there before keep their place where there are too many.
    pub(super) fn group(&mut self, held: &[Held], before: &HashSet<Arc<Cgroup>>, now: Instant) -> Grouped {
        let mut keys: Vec<ProcessKey> = held.iter().map(|one| one.process).collect();
        keys.dedup();
        let mut left_out = keys.len().saturating_sub(MAX_LOOKED_FOR) as u64;
        keys.truncate(MAX_LOOKED_FOR);
        self.find(&keys, now);
        let mut grouped: HashMap<Arc<Cgroup>, Found> = HashMap::new();
        for one in held {
            let groups = self.known.get(&one.process).and_then(|known| known.groups.as_ref());
            let Some(groups) = groups else { continue };
            let found = grouped.entry(groups.cgroup.clone()).or_insert_with(|| Found {
                cgroup: groups.cgroup.clone(),
                groups: groups.clone(),
                processes: Vec::new(),
                devices: Vec::new(),
            });
            // A process may have been in a part of the hierarchies only, as while its container was started.
            if groups.directories.len() > found.groups.directories.len() {
                found.groups = groups.clone();
            }
            if found.processes.last() != Some(&one.process) {
                found.processes.push(one.process);
            }
            if let Some((key, value)) = one.device.clone() {
                let device = self.devices.entry((key, value.clone()));
                let device = device.or_insert_with(|| Arc::new(Attributes::new([(key, value)])));
                if found.devices.len() < MAX_DEVICES && !found.devices.contains(device) {
                    found.devices.push(device.clone());
                }
            }
        }
        let used: HashSet<&Attributes> = grouped
            .values()
            .flat_map(|found| &found.devices)
            .map(|device| &**device)
            .collect();
        self.devices.retain(|_, device| used.contains(&**device));
        let mut found: Vec<Found> = grouped.into_values().collect();
        found.sort_by_cached_key(|found| (!before.contains(&found.cgroup), name(&found.cgroup)));
        let groups_left_out = cut(&mut found, MAX_GROUPS, |_| 1, |found| found.processes.clear());
        found.retain(|found| !found.processes.is_empty());
        left_out += cut(
            &mut found,
            MAX_PROCESSES,
            |found| found.processes.len(),
            |found| {
                found.processes.pop();
            },
        );
        Grouped {
            found,
            groups_left_out,
            processes_left_out: left_out,
        }
    }

    /// Reads the groups of those that are not known, or were read long ago.
    fn find(&mut self, keys: &[ProcessKey], now: Instant) {
        let all: HashSet<&ProcessKey> = keys.iter().collect();
        self.known.retain(|key, _| all.contains(key));
        let is_due = |key: &&ProcessKey| self.known.get(key).is_none_or(|known| now >= known.read + REFRESH);
        let due: Vec<ProcessKey> = keys.iter().filter(is_due).copied().collect();
        if due.is_empty() {
            return;
        }
        let (processes, these) = (self.processes.clone(), due);
        let read = move || -> Vec<(ProcessKey, io::Result<Option<String>>)> {
            let text = |key: &ProcessKey| {
                let text = processes.cgroup(key.pid)?;
                // Last, so that the text is of that process.
                Ok(processes.is_alive(*key).then_some(text))
            };
            these.iter().map(|key| (*key, text(key))).collect()
        };
        // Without a thread for it all stay as they are.
        let Ok(read) = apart(read) else { return };
        let mut by_text: HashMap<String, Option<Arc<Groups>>> = HashMap::new();
        for (key, text) in read {
            let Ok(Some(text)) = text else {
                self.known.remove(&key);
                continue;
            };
            let finder = &mut self.finder;
            let groups = by_text.entry(text);
            let groups = groups.or_insert_with_key(|text| finder.find(text).map(Arc::new));
            let known = Known {
                groups: groups.clone(),
                read: now,
            };
            self.known.insert(key, known);
        }
    }
}

/// Leaves `most` of what `size` counts, divided among what the groups are in at the outermost and then among them; `less`
/// takes one away. Returns how many were taken.
fn cut(found: &mut [Found], most: usize, size: impl Fn(&Found) -> usize, mut less: impl FnMut(&mut Found)) -> u64 {
    if found.iter().map(&size).sum::<usize>() <= most {
        return 0;
    }
    let demands = found.iter().enumerate().map(|(at, found)| {
        let wants = size(found);
        // What comes first has its place already.
        let demand = Demand {
            has: wants.min(1),
            wants,
        };
        let outermost = found.cgroup.outermost.clone().unwrap_or_else(|| name(&found.cgroup));
        (outermost, at, demand)
    });
    let limits = grouped_limits(demands, most);
    let mut taken = 0;
    for (at, limit) in limits {
        for _ in limit..size(&found[at]) {
            less(&mut found[at]);
            taken += 1;
        }
    }
    taken
}

/// A name for an order that does not change.
fn name(cgroup: &Cgroup) -> String {
    let job = cgroup.job.as_ref().map(|job| job.id.as_str());
    let name = cgroup.container().or(cgroup.pod_uid.as_deref()).or(job);
    name.or(cgroup.unit.as_deref()).unwrap_or_default().to_owned()
}
