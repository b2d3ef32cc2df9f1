//! The watched device nodes, kept current.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use inotify::{Inotify, WatchMask};

use super::configuration::Configuration;
use super::device::Device;
use super::families::Families;
use super::scan::Scanner;
use accelscope_core::exhausted;
use accelscope_core::host::sysfs;
use accelscope_core::sampler::Finding;
use accelscope_core::source::Context;

/// Time between two scans without a change.
const SCAN: Duration = Duration::from_secs(30);
/// The same without inotify.
const SCAN_WITHOUT_INOTIFY: Duration = Duration::from_secs(5);
/// Shortest time between two scans: a driver makes many nodes at once.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Time from a change to one more scan: a node may appear before its attributes in sysfs.
const RESCAN: Duration = Duration::from_secs(2);

const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::ONLYDIR);

/// The host's device nodes.
#[derive(Debug)]
pub struct Devices {
    scanner: Scanner,
    watch: Option<Inotify>,
    all: BTreeMap<u64, Device>,
    scanned: Option<Instant>,
    /// When to scan again after a change.
    rescan: Option<Instant>,
    changed: bool,
    warned: Vec<Finding>,
    silent: bool,
}

impl Devices {
    /// None before the first [`update`](Self::update).
    pub fn new(configuration: &Configuration, context: &Context) -> Self {
        Self {
            scanner: Scanner {
                machine_id: context.roots.machine_id().unwrap_or_default(),
                roots: context.roots.clone(),
                extra: configuration.extra_devices.clone(),
                families: Families::of(context.sources),
                node_name: context.node_name.clone(),
            },
            watch: None,
            all: BTreeMap::new(),
            scanned: None,
            rescan: None,
            changed: true,
            warned: Vec::new(),
            silent: false,
        }
    }

    /// The same without log lines, for a caller that reports the result itself.
    pub(super) fn quiet(configuration: &Configuration, context: &Context) -> Self {
        Self {
            silent: true,
            ..Self::new(configuration, context)
        }
    }

    /// By device number.
    pub fn all(&self) -> &BTreeMap<u64, Device> {
        &self.all
    }

    /// Devices that are not watched as configured, as of the last scan.
    pub fn warnings(&self) -> &[Finding] {
        &self.warned
    }

    /// References to the devices' modules, as [`sysfs::references`] sums them.
    pub fn references(&self) -> Option<u64> {
        let modules = self.all.values().map(|device| device.module.as_deref());
        sysfs::references(&self.scanner.roots, modules)
    }

    /// Readable when a node may have been added or removed.
    pub fn event_source(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(Inotify::as_fd)
    }

    /// Scans where that is due. Returns whether the devices have changed.
    pub fn update(&mut self, now: Instant) -> bool {
        self.changed |= self.watch.as_mut().is_some_and(drain);
        if now < self.due(now) {
            return false;
        }
        // Before the scan, so that a node that appears during it is an event.
        self.open_watch();
        self.rescan = (self.changed && self.scanned.is_some()).then_some(now + RESCAN);
        self.changed = false;
        self.scanned = Some(now);
        let found = self.scanner.scan();
        let other = found.devices != self.all;
        if !self.silent {
            for warning in found.warnings.iter().filter(|warning| !self.warned.contains(warning)) {
                tracing::warn!("{}; {}", warning.what, warning.remedy.as_deref().unwrap_or_default());
            }
            self.log(&found.devices);
        }
        self.warned = found.warnings;
        self.all = found.devices;
        other
    }

    /// When the next scan is due while [`event_source`](Self::event_source) is not readable.
    pub fn due(&self, now: Instant) -> Instant {
        let Some(last) = self.scanned else { return now };
        let rest = match self.watch {
            _ if self.changed => DEBOUNCE,
            Some(_) => SCAN,
            None => SCAN_WITHOUT_INOTIFY,
        };
        self.rescan.map_or(last + rest, |rescan| rescan.min(last + rest))
    }

    /// Adds the folders that have appeared since; a folder that is watched already stays so.
    fn open_watch(&mut self) {
        if self.watch.is_none() {
            let is_first = self.scanned.is_none();
            let warn = |error: &io::Error| {
                if is_first {
                    let remedy = exhausted::inotify_remedy(error);
                    tracing::warn!(%error, remedy, "no inotify for /dev: new devices are found within 5 s");
                }
            };
            self.watch = Inotify::init().inspect_err(warn).ok();
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
            if let Err(error) = watch.watches().add(&folder, CHANGES) {
                // Most families' folders do not exist, and the regular scan finds what no event announces.
                tracing::trace!(%error, folder = %folder.display(), "not watched");
            }
        }
    }

    fn log(&self, found: &BTreeMap<u64, Device>) {
        for (number, device) in found.iter().filter(|(number, _)| !self.all.contains_key(number)) {
            tracing::debug!(device = device.name, family = %device.family, number, "device node found");
            warn_of_unknown_version(device);
        }
        for device in self.all.values().filter(|device| !found.contains_key(&device.number)) {
            tracing::debug!(device = device.name, family = %device.family, "device node gone");
        }
    }
}

fn warn_of_unknown_version(device: &Device) {
    if let Some(taken_for) = device.assumed_version() {
        tracing::warn!(
            device = device.name,
            version = device.abi.as_deref().unwrap_or("not in /sys/module/*/version"),
            taken_for,
            "the version of the device's driver is not known: its calls are read as those of a known one, and their \
             names, bytes and frames may be wrong; a newer agent may know it"
        );
    }
}

/// Whether anything has happened.
fn drain(watch: &mut Inotify) -> bool {
    let mut buffer = [0; 4096];
    let mut any = false;
    loop {
        match watch.read_events(&mut buffer) {
            Ok(mut events) => any |= events.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return any,
        }
    }
}
