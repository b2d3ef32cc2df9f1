//! Everything whose reading may take long: hwmon, thermal zones and supplies, in one pass.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accelscope_core::host::HostRoots;
use accelscope_core::metric::Point;

use crate::hwmon::Hwmon;
use crate::identity::Identity;
use crate::numbers::{Numbers, Seat};
use crate::reason::Skipped;
use crate::settings::Settings;
use crate::supply::Supplies;
use crate::thermal::Thermal;
use crate::{hwmon, supply, thermal};

/// The device that a pass is at, and since when.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Option<(PathBuf, Instant)>>);

impl Progress {
    fn set(&self, at: Option<&Path>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at.map(|at| (at.to_owned(), Instant::now()));
    }

    /// The device that the pass has been at for so long.
    pub(crate) fn stuck_for(&self, time: Duration) -> Option<PathBuf> {
        let at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, since) = at.as_ref()?;
        (since.elapsed() >= time).then(|| path.clone())
    }
}

/// A place where a device is, as a boot does not change it, and as it is now. Devices of one stable place are told apart by
/// numbers.
pub(crate) type Place = (String, PathBuf);

/// The places of the devices that were read, by their paths of their class: one that is left alone cannot be asked, and keeps
/// its number nevertheless.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Arc<Mutex<BTreeMap<PathBuf, Place>>>, Arc<Mutex<Numbers>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, path: &Path, place: Place) {
        self.lock().insert(path.to_owned(), place);
    }

    pub(crate) fn of(&self, path: &Path) -> Option<Place> {
        self.lock().get(path).cloned()
    }

    /// The numbers of all devices that are at this stable place now, in their order.
    pub(crate) fn numbers(&self, stable: &str, seats: &[Seat]) -> Vec<u32> {
        let mut numbers = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.of(stable, seats)
    }

    /// Forgets the devices of this class that are not among these.
    pub(crate) fn keep(&self, class: &Path, paths: &[PathBuf]) {
        self.lock()
            .retain(|path, _| !path.starts_with(class) || paths.contains(path));
    }
}

/// One pass over all devices.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) progress: &'a Progress,
    /// Devices that have not answered.
    pub(crate) left_alone: &'a [PathBuf],
}

impl Pass<'_> {
    /// Notes that the device with this path of its class comes next. False if it is left alone.
    pub(crate) fn enter(&self, path: &Path) -> bool {
        if self.left_alone.iter().any(|left| left == path) {
            return false;
        }
        self.progress.set(Some(path));
        true
    }
}

/// What one pass has read.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) parts: Vec<(&'static str, Vec<Point>)>,
    /// `hw.id` of a meter of the power of the whole machine.
    pub(crate) machine_meter: Option<String>,
    /// Whether there is any device.
    pub(crate) is_there: bool,
}

/// Number of a device's directory: another device has another one, even under the same name.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    Some(std::fs::metadata(path).ok()?.ino())
}

/// Whether any of the classes has a device, of whatever kind.
pub(crate) fn may_be_there(roots: &HostRoots) -> bool {
    let classes = [hwmon::CLASS, thermal::CLASS, supply::CLASS];
    classes.into_iter().any(|class| {
        let entries = std::fs::read_dir(roots.path(class));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    })
}

/// The devices of this machine.
#[derive(Debug)]
pub(crate) struct Sensors {
    hwmon: Option<Hwmon>,
    thermal: Option<Thermal>,
    supplies: Option<Supplies>,
    skipped: Skipped,
}

impl Sensors {
    pub(crate) fn new(settings: &Settings, roots: &HostRoots, identity: &Identity, places: &Places) -> Self {
        let (roots, identity, places) = (|| roots.clone(), || identity.clone(), || places.clone());
        Self {
            hwmon: settings
                .hwmon
                .then(|| Hwmon::new(roots(), identity(), places(), settings.cores)),
            thermal: settings.thermal.then(|| Thermal::new(roots(), identity(), places())),
            supplies: settings.supplies.then(|| Supplies::new(roots(), identity())),
            skipped: Skipped::default(),
        }
    }

    /// Reads all devices.
    pub(crate) fn read(&mut self, progress: &Arc<Progress>, left_alone: &[PathBuf]) -> Readings {
        let pass = Pass { progress, left_alone };
        let mut readings = Readings::default();
        if let Some(hwmon) = &mut self.hwmon {
            readings.parts.push(("hwmon", hwmon.read(&pass, &mut self.skipped)));
            readings.machine_meter = hwmon.machine_meter();
            readings.is_there |= hwmon.is_there();
        }
        if let Some(thermal) = &mut self.thermal {
            readings.parts.push(("thermal", thermal.read(&pass, &mut self.skipped)));
            readings.is_there |= thermal.is_there();
        }
        if let Some(supplies) = &mut self.supplies {
            readings
                .parts
                .push(("power_supply", supplies.read(&pass, &mut self.skipped)));
            readings.is_there |= supplies.is_there();
        }
        progress.set(None);
        readings
    }
}
