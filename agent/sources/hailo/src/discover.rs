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
use accelscope_core::host::descriptors::{Pace, holds_char_device};
use accelscope_core::host::process::Processes;
use accelscope_core::host::stuck::apart;
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::ProcessKey;

/// Shortest time between two walks through `/proc/*/fd`, and where the modules' reference counts are known.
const SOONEST: Duration = Duration::from_secs(5);
const SOONEST_COUNTED: Duration = Duration::from_secs(1);

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
        let before = self.holders.len();
        if before > 0 {
            let alive = processes.alive(self.holders.iter().map(|holder| holder.process).collect());
            self.holders.retain(|holder| alive.contains(&holder.process));
        }
        let lost_one = self.holders.len() < before;
        let numbers = numbers(devices.values());
        if numbers.is_empty() {
            *self = Self::default();
            return Ok(());
        }
        let modules = devices.values().map(|device| device.module.as_deref());
        let references = sysfs::references(roots, modules);
        let soonest = if references.is_some() { SOONEST_COUNTED } else { SOONEST };
        if now < self.pace.due(now, soonest, references, lost_one) {
            return Ok(());
        }
        let processes = processes.clone();
        self.holders = self.pace.walk(now, references, move || {
            if references == Some(0) {
                Ok(Vec::new())
            } else {
                holders(&processes, &numbers)
            }
        })??;
        Ok(())
    }
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
