//! The devices that there are, kept current.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use inotify::{Inotify, WatchMask};

use super::device::Device;
use super::extra::Extra;
use super::families::Families;
use super::scan::{Scanner, Warning};
use super::sysfs;
use accelscope_core::host::HostRoots;

/// How often everything is looked at without a sign that something changed.
const LATEST: Duration = Duration::from_secs(30);
/// The same where inotify cannot be had.
const UNWATCHED: Duration = Duration::from_secs(5);
/// Shortest time between two looks: a driver makes many nodes at once.
const SOONEST: Duration = Duration::from_millis(200);
/// A node appears before all that sysfs will tell of it: it is looked at again after this.
const SETTLED: Duration = Duration::from_secs(2);

const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::ONLYDIR);

/// The device nodes of the host that are watched.
#[derive(Debug)]
pub struct Devices {
    scanner: Scanner,
    watch: Option<Watch>,
    all: BTreeMap<u64, Device>,
    scanned: Option<Instant>,
    /// When to look again although nothing has happened since.
    again: Option<Instant>,
    changed: bool,
    warned: BTreeSet<Warning>,
    quiet: bool,
}

#[derive(Debug)]
struct Watch {
    inotify: Inotify,
    buffer: Box<[u8]>,
}

impl Devices {
    /// Of a host. Nothing is looked at before the first [`update`](Self::update). `node_name` becomes part of ids.
    pub fn new(roots: HostRoots, families: Families, extra: Vec<Extra>, node_name: String) -> Self {
        Self {
            scanner: Scanner {
                machine_id: roots.machine_id().unwrap_or_default(),
                roots,
                extra,
                families,
                node_name,
            },
            watch: None,
            all: BTreeMap::new(),
            scanned: None,
            again: None,
            changed: true,
            warned: BTreeSet::new(),
            quiet: false,
        }
    }

    /// For one look whose result is told elsewhere: nothing is logged.
    pub(super) fn quiet(roots: HostRoots, families: Families, extra: Vec<Extra>) -> Self {
        Self {
            quiet: true,
            ..Self::new(roots, families, extra, String::new())
        }
    }

    /// By their numbers.
    pub fn all(&self) -> &BTreeMap<u64, Device> {
        &self.all
    }

    /// What is not watched as the user may think, as of the last look, and what to do about it.
    pub fn warnings(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.warned
            .iter()
            .map(|warning| (warning.what.as_str(), warning.remedy))
    }

    /// How many users the kernel counts for the devices' modules: each open node is one. Nothing where a device's module
    /// does not tell.
    pub fn references(&self) -> Option<u64> {
        let modules: Option<BTreeSet<&str>> = self.all.values().map(|device| device.module.as_deref()).collect();
        let counts = modules?
            .into_iter()
            .map(|module| sysfs::references(&self.scanner.roots, module));
        counts.sum()
    }

    /// Readable when a node may have come or gone, for a caller that waits for other things too.
    pub fn event_source(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(|watch| watch.inotify.as_fd())
    }

    /// Looks for devices where something has happened or it is time to. True if they are others than before.
    pub fn update(&mut self, now: Instant) -> bool {
        self.changed |= self.watch.as_mut().is_some_and(Watch::drain);
        if now < self.due(now) {
            return false;
        }
        // Watched first: what appears while they are looked at is then seen as an event.
        self.open_watch();
        self.again = (self.changed && self.scanned.is_some()).then_some(now + SETTLED);
        self.changed = false;
        self.scanned = Some(now);
        let found = self.scanner.scan();
        let other = found.devices != self.all;
        if !self.quiet {
            for warning in found.warnings.difference(&self.warned) {
                tracing::warn!("{}; {}", warning.what, warning.remedy);
            }
            self.tell(&found.devices);
        }
        self.warned = found.warnings;
        self.all = found.devices;
        other
    }

    /// When to call [`update`](Self::update) though [`event_source`](Self::event_source) tells nothing.
    pub fn due(&self, now: Instant) -> Instant {
        let Some(last) = self.scanned else { return now };
        let rest = match self.watch {
            _ if self.changed => SOONEST,
            Some(_) => LATEST,
            None => UNWATCHED,
        };
        self.again.map_or(last + rest, |again| again.min(last + rest))
    }

    /// Folders come and go with their drivers; a watch that is there already stays.
    fn open_watch(&mut self) {
        if self.watch.is_none() {
            match Inotify::init() {
                Ok(inotify) => {
                    self.watch = Some(Watch {
                        inotify,
                        buffer: vec![0; 8192].into(),
                    });
                }
                Err(error) => {
                    if self.scanned.is_none() {
                        tracing::warn!(
                            %error,
                            "no inotify for /dev: new devices are found within 5 s; raise fs.inotify.max_user_instances"
                        );
                    }
                    return;
                }
            }
        }
        let Some(watch) = &self.watch else { return };
        let dev = self.scanner.roots.dev();
        let extra = self.scanner.extra.iter().filter_map(|extra| extra.path.parent());
        let extra = extra.map(|parent| self.scanner.roots.path(parent));
        let folders = self
            .scanner
            .families
            .folders()
            .into_iter()
            .map(|folder| dev.join(folder));
        for folder in folders.chain(extra) {
            watch.add(&folder);
        }
    }

    fn tell(&self, found: &BTreeMap<u64, Device>) {
        for (number, device) in found.iter().filter(|(number, _)| !self.all.contains_key(number)) {
            tracing::debug!(device = device.name, family = %device.family, number, "device node found");
            warn_of_version(device);
        }
        for device in self.all.values().filter(|device| !found.contains_key(&device.number)) {
            tracing::debug!(device = device.name, family = %device.family, "device node gone");
        }
    }
}

/// Warns where the commands of another version of the driver than its own are assumed.
fn warn_of_version(device: &Device) {
    let Some(assumed) = device.assumed_version() else {
        return;
    };
    match device.abi.as_deref() {
        Some(version) => tracing::warn!(
            device = device.name,
            version,
            assumed,
            "this version of the driver is not known: its calls are read as those of a known one, and their names, bytes \
             and frames may be wrong; a newer agent may know it"
        ),
        None => tracing::warn!(
            device = device.name,
            assumed,
            "the version of the driver is not in /sys/module/*/version: its calls are read as those of the newest known one"
        ),
    }
}

impl Watch {
    fn add(&self, folder: &Path) {
        if let Err(error) = self.inotify.watches().add(folder, CHANGES) {
            // Most families' folders are not there, and a scan now and then finds what no event tells.
            tracing::trace!(%error, folder = %folder.display(), "not watched");
        }
    }

    /// Whether anything has happened.
    fn drain(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.inotify.read_events(&mut self.buffer) {
                Ok(mut events) => any |= events.next().is_some(),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return any,
            }
        }
    }
}
