//! Processes that hold a Hailo device open, and their mount namespaces.
//!
//! An inference pod has its own `/tmp`: its monitor files are reached through `/proc/<pid>/root`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

use super::device::{Device, numbers};
use super::directory::DirectoryId;
use accelscope_core::host::descriptors::{Pace, cpu_time, holds_char_device};
use accelscope_core::host::process::Processes;
use accelscope_core::host::stuck::apart;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::ProcessKey;

/// Shortest time between two walks through `/proc/*/fd`, and where the modules' reference counts are known.
const SOONEST: Duration = Duration::from_secs(5);
const SOONEST_COUNTED: Duration = Duration::from_secs(1);

/// Most holders of one view that are kept, and of all. Any number of processes may open a device.
const MAX_OF_VIEW: usize = 16;
const MAX_HOLDERS: usize = 4096;
/// Time between two looks whether they are alive, as a multiple of the last one's CPU time, and the longest.
const CHECK_REST: u32 = 200;
const LATEST_CHECK: Duration = Duration::from_mins(1);

/// A mount namespace, and a root directory in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    mount_namespace: u64,
    root: DirectoryId,
}

/// A process that holds a Hailo device open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) process: ProcessKey,
    pub(super) view: View,
}

/// Every process that has a device of these numbers open, except those with unreadable descriptors.
pub(super) fn holders(processes: &Processes, numbers: &BTreeSet<u64>) -> io::Result<Vec<Holder>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let (processes, numbers) = (processes.clone(), Arc::new(numbers.clone()));
    apart(move || {
        let pids = processes.pids()?.into_iter();
        Ok(pids.filter_map(|pid| holder(&processes, &numbers, pid)).collect())
    })?
}

fn holder(processes: &Processes, numbers: &Arc<BTreeSet<u64>>, pid: u32) -> Option<Holder> {
    let wanted = numbers.clone();
    let holds = holds_char_device(processes, pid, usize::MAX, move |number| wanted.contains(&number));
    holds.ok().filter(|holds| *holds)?;
    // Its file system is not asked: it may not answer.
    let flags = AtFlags::STATX_DONT_SYNC;
    let root = processes.file(pid, "root", move |path| Ok(statx(CWD, path, flags, StatxFlags::INO)?));
    let root = root.ok()?;
    Some(Holder {
        process: processes.key(pid).ok()?,
        view: View {
            mount_namespace: processes.mount_namespace(pid).ok()?,
            root: (makedev(root.stx_dev_major, root.stx_dev_minor), root.stx_ino),
        },
    })
}

/// The holders, updated at a bounded cost.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    holders: Vec<Holder>,
    pace: Pace,
    /// When to look again whether they are alive, and whether one was not since the last walk.
    check_at: Option<Instant>,
    lost_one: bool,
}

impl Discovery {
    /// The holders that are still alive, by view.
    pub(super) fn views(&self) -> BTreeMap<View, Vec<ProcessKey>> {
        let mut views = BTreeMap::<_, Vec<_>>::new();
        for holder in &self.holders {
            views.entry(holder.view).or_default().push(holder.process);
        }
        views
    }

    /// Drops holders that have exited, and walks when the pace allows.
    pub(super) fn update(
        &mut self,
        roots: &HostRoots,
        processes: &Processes,
        devices: &BTreeMap<String, Device>,
        now: Instant,
    ) -> io::Result<()> {
        if !self.holders.is_empty() && self.check_at.is_none_or(|at| now >= at) {
            self.check(processes, now);
        }
        let numbers = numbers(devices.values());
        if numbers.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        let modules = devices.values().map(|device| device.module.as_deref());
        let references = sysfs::references(roots, modules);
        let soonest = if references.is_some() { SOONEST_COUNTED } else { SOONEST };
        if now < self.pace.due(now, soonest, references, self.lost_one) {
            return Ok(());
        }
        let processes = processes.clone();
        (self.lost_one, self.check_at) = (false, None);
        let holders = self.pace.walk(now, references, move || {
            if references == Some(0) {
                Ok(Vec::new())
            } else {
                holders(&processes, &numbers)
            }
        })??;
        self.holders = few_of_each_view(holders);
        Ok(())
    }

    /// Drops those that have exited.
    fn check(&mut self, processes: &Processes, now: Instant) {
        let keys: Vec<ProcessKey> = self.holders.iter().map(|holder| holder.process).collect();
        let processes = processes.clone();
        let looked = apart(move || {
            let begun = cpu_time();
            let alive = processes.alive(keys.clone());
            (alive, cpu_time().saturating_sub(begun))
        });
        // Without a thread for it all stay.
        let Ok((alive, took)) = looked else { return };
        self.check_at = Some(now + (took * CHECK_REST).min(LATEST_CHECK));
        let before = self.holders.len();
        self.holders.retain(|holder| alive.contains(&holder.process));
        self.lost_one |= self.holders.len() < before;
    }
}

/// The directory of a view is the same for all that have it.
fn few_of_each_view(mut holders: Vec<Holder>) -> Vec<Holder> {
    let mut of_view = BTreeMap::<View, usize>::new();
    holders.retain(|holder| {
        let count = of_view.entry(holder.view).or_default();
        *count += 1;
        *count <= MAX_OF_VIEW
    });
    holders.truncate(MAX_HOLDERS);
    holders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/full` is used as the device: no other process has it open here.
    #[test]
    fn a_process_is_found_by_the_device_that_it_holds() {
        let processes = Processes::new(&HostRoots::new("/"));
        let numbers = BTreeSet::from([rustix::fs::makedev(1, 7)]);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .stdin(std::fs::File::open("/dev/full").unwrap())
            .spawn()
            .unwrap();
        let found = holders(&processes, &numbers).unwrap();
        let holder = found.iter().find(|holder| holder.process.pid == child.id()).copied();
        child.kill().unwrap();
        child.wait().unwrap();
        let holder = holder.expect("the child holds the device");
        assert_eq!(
            holder.view.mount_namespace,
            processes.mount_namespace(std::process::id()).unwrap()
        );
        let found = holders(&processes, &numbers).unwrap();
        assert!(!found.iter().any(|holder| holder.process.pid == child.id()));
    }

    #[test]
    fn of_a_great_many_holders_a_few_are_kept_for_each_view_and_looked_at_less_often() {
        let processes = Processes::new(&HostRoots::new("/"));
        let own = processes.key(std::process::id()).unwrap();
        let holder = |nth: u64| Holder {
            process: ProcessKey {
                start_ticks: own.start_ticks + nth % 2,
                ..own
            },
            view: View {
                mount_namespace: nth / 100,
                root: (0, 0),
            },
        };
        let kept = few_of_each_view((0..600_000).map(holder).collect());
        assert_eq!(kept.len(), MAX_HOLDERS);
        let of_first = kept.iter().filter(|holder| holder.view.mount_namespace == 0);
        assert_eq!(of_first.count(), MAX_OF_VIEW);
        let mut discovery = Discovery {
            holders: kept,
            ..Discovery::default()
        };
        let now = Instant::now();
        discovery.check(&processes, now);
        assert!(discovery.lost_one && discovery.holders.len() == MAX_HOLDERS / 2);
        assert!(discovery.check_at > Some(now));
    }

    #[test]
    fn a_walk_is_not_repeated_while_the_kernel_counts_the_same_users() {
        let host = tempfile::tempdir().unwrap();
        let module = host.path().join("sys/module/hailo_pci");
        std::fs::create_dir_all(&module).unwrap();
        let references = module.join("refcnt");
        std::fs::write(&references, "1\n").unwrap();
        let roots = HostRoots::new(host.path());
        let processes = Processes::new(&HostRoots::new("/"));
        let device = Device {
            address: String::new(),
            name: String::new(),
            // Without a holder: one that exits is a reason to walk.
            number: Some(rustix::fs::makedev(1, 200)),
            module: Some("hailo_pci".into()),
            driver_version: None,
            monitored_on_card: false,
        };
        let devices = BTreeMap::from([(String::new(), device)]);
        let mut discovery = Discovery::default();
        let now = Instant::now();
        let mut walked = |seconds| {
            let now = now + Duration::from_secs(seconds);
            discovery.update(&roots, &processes, &devices, now).unwrap();
            discovery.pace.walked_at() == Some(now)
        };
        assert!(walked(0));
        assert!(!walked(59));
        assert!(walked(60), "to be sure");
        std::fs::write(&references, "2\n").unwrap();
        assert!(walked(90));
    }

    #[test]
    fn without_devices_no_process_is_examined() {
        let nowhere = Processes::new(&HostRoots::new("/nonexistent"));
        assert!(holders(&nowhere, &BTreeSet::new()).unwrap().is_empty());
        let mut discovery = Discovery::default();
        let roots = HostRoots::new("/nonexistent");
        discovery
            .update(&roots, &nowhere, &BTreeMap::new(), Instant::now())
            .unwrap();
        assert!(discovery.views().is_empty());
    }
}
