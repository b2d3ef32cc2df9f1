//! The accelerators, and the count of what the log tells of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::device::{Device, Devices};
use crate::devices::Finder;
use crate::fault::Kind;
use crate::pci::Pci;
use crate::reading::{Found, Whose};
use accelscope_core::faults::{self, Faults};
use accelscope_core::host::{HostRoots, sysfs};
use accelscope_core::metric::catalogue::hw;
use accelscope_core::metric::{Point, Timestamp};

/// Least time between two looks at the PCI functions for the sake of a line about one that is not known.
const LOOK: Duration = Duration::from_secs(10);

/// What gave no point, by reason.
#[derive(Debug, Default)]
pub(crate) struct Skipped(BTreeMap<&'static str, u64>);

impl Skipped {
    pub(crate) const OVERWRITTEN: &'static str = "overwritten";
    pub(crate) const MALFORMED: &'static str = "malformed";
    pub(crate) const UNKNOWN_DEVICE: &'static str = "unknown_device";
    pub(crate) const TOO_MANY: &'static str = "too_many";
    pub(crate) const REASONS: [&'static str; 4] =
        [Self::OVERWRITTEN, Self::MALFORMED, Self::UNKNOWN_DEVICE, Self::TOO_MANY];

    pub(crate) fn add(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    pub(crate) fn counts(self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.into_iter()
    }
}

/// The accelerators with their counts.
#[derive(Debug)]
pub(crate) struct Tally {
    roots: HostRoots,
    faults: Faults,
    finder: Finder,
    devices: Devices,
    looked_at: Option<Instant>,
}

impl Tally {
    pub(crate) fn new(roots: HostRoots, node_name: String, faults: Faults) -> Self {
        Self {
            finder: Finder::new(roots.clone(), node_name),
            roots,
            faults,
            devices: Devices::new(),
            looked_at: None,
        }
    }

    /// Looks at the PCI functions, unless that was less than `least` ago.
    pub(crate) fn look(&mut self, now: Instant, least: Duration) {
        let is_recent = |last| now.saturating_duration_since(last) < least;
        if !self.looked_at.is_some_and(is_recent) {
            self.looked_at = Some(now);
            self.finder.update(&mut self.devices, now);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Counts from 0 again: the log is opened anew.
    pub(crate) fn forget(&mut self) {
        for device in self.devices.values_mut() {
            device.counts.forget();
        }
    }

    pub(crate) fn count(&mut self, found: &Found, skipped: &mut Skipped) {
        let now = Instant::now();
        let mut pci = self.find(&found.whose);
        if pci.is_none() {
            self.look(now, LOOK);
            pci = self.find(&found.whose);
        }
        let Some(device) = pci.and_then(|pci| self.devices.get_mut(&pci)) else {
            // Any device of the machine may have these.
            if !Kind::OF_PCI.contains(&found.kind) {
                skipped.add(Skipped::UNKNOWN_DEVICE, 1);
            }
            return;
        };
        let series = device.counts.series(found.kind, found.code);
        device.counts.seen(series, found.time);
        match (found.counts_since, series) {
            (None, _) => {}
            (Some(_), (Kind::Xid, Some(code))) => {
                let line = faults::Line {
                    xid: found.code.unwrap_or(code),
                    code,
                    process: found.process,
                    micros: found.micros,
                };
                if !self.faults.logged(&device.id, line, now) {
                    skipped.add(Skipped::TOO_MANY, 1);
                }
            }
            (Some(since), series) => device.counts.add(series, since),
        }
    }

    fn find(&self, whose: &Whose) -> Option<Pci> {
        match whose {
            Whose::Pci(pci) => self.devices.contains_key(pci).then_some(*pci),
            Whose::Class(class, name) => {
                let directory = self.roots.sys().join("class").join(class).join(name);
                let pci = Pci::parse(&sysfs::pci_address(&directory)?)?;
                // Other drivers have devices of that class too.
                self.devices
                    .get(&pci)
                    .is_some_and(|device| device.driver.as_deref() == Some("habanalabs"))
                    .then_some(pci)
            }
            Whose::Driver(driver) => {
                let mut with_it = self
                    .devices
                    .values()
                    .filter(|device| device.driver.as_deref() == Some(driver));
                let only = with_it.next()?;
                with_it.next().is_none().then_some(only.pci)
            }
        }
    }

    /// Points of all devices.
    pub(crate) fn points(&mut self, now: Instant, time: Timestamp) -> Vec<Point> {
        let mut points = Vec::new();
        for device in self.devices.values_mut() {
            // Of one that has left the bus nothing more begins.
            if device.gone_since.is_none() {
                device.begin(time);
            }
            device.counts.points(&device.id, device.hw_type, time, &mut points);
            if device.has_xids() && !self.faults.is_watched(&device.id, now) {
                xids(device, &self.faults, now, time, &mut points);
            }
        }
        points
    }
}

/// Counts of the XIDs of a GPU of which NVML does not tell.
fn xids(device: &Device, faults: &Faults, now: Instant, time: Timestamp, points: &mut Vec<Point>) {
    let Some(since) = faults.log_since() else { return };
    let mut zeros: Vec<i64> = Kind::XIDS.to_vec();
    let mut push = |code, value, start: Timestamp| {
        let mut point = Point::new(&hw::ERRORS, faults::attributes(&device.id, code), value, time);
        point.start = Some(start.min(time));
        points.push(point);
    };
    for count in faults.counts(&Arc::clone(&device.id), now) {
        zeros.retain(|code| *code != count.code);
        push(count.code, count.value, count.start);
    }
    for code in zeros {
        push(code, 0_i64, since);
    }
}

#[cfg(test)]
mod tests;
