//! Hardware monitoring: chips with sensors (Documentation/hwmon/sysfs-interface.rst, Linux 6.18).

mod chip;
mod kind;
mod sensor;
mod within;

pub(crate) use kind::Skip;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use accelscope_core::host::HostRoots;
use accelscope_core::metric::Point;

use crate::identity::Identity;
use crate::now::Now;
use crate::numbers::Seat;
use crate::reason::{Reason, Skipped};
use crate::sensors::{Pass, Places, inode};
use chip::Chip;

pub(crate) const CLASS: &str = "/sys/class/hwmon";
/// Most chips, and most sensors of all together.
const MOST_CHIPS: usize = 128;
const MOST_SENSORS: usize = 1024;
/// Time after which the files of a chip are looked through again, and its limits read.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The chips of this machine.
#[derive(Debug)]
pub(crate) struct Hwmon {
    roots: HostRoots,
    identity: Identity,
    places: Places,
    cores: bool,
    chips: BTreeMap<PathBuf, Place>,
    looked: Option<Now>,
}

/// A directory in the class.
#[derive(Debug)]
struct Place {
    /// Another device has another one, even under the same name.
    inode: u64,
    chip: Result<Box<Chip>, Skip>,
}

impl Hwmon {
    pub(crate) fn new(roots: HostRoots, identity: Identity, places: Places, cores: bool) -> Self {
        Self {
            roots,
            identity,
            places,
            cores,
            chips: BTreeMap::new(),
            looked: None,
        }
    }

    /// Reads all chips.
    pub(crate) fn read(&mut self, pass: &Pass<'_>, skipped: &mut Skipped) -> Vec<Point> {
        self.look(pass, skipped);
        for (path, place) in &mut self.chips {
            if let Ok(chip) = &mut place.chip
                && pass.enter(path)
            {
                chip.read(skipped);
            }
        }
        let meter = self.machine_meter();
        let mut points = Vec::new();
        for chip in self.chips.values_mut().filter_map(|place| place.chip.as_mut().ok()) {
            chip.set_parents(meter.as_deref());
            points.extend_from_slice(chip.points());
        }
        points
    }

    /// `hw.id` of the sensor of the power of the whole machine, if it has a value. Of several nobody knows which measures what.
    pub(crate) fn machine_meter(&self) -> Option<String> {
        let chips = self.chips.values().filter_map(|place| place.chip.as_ref().ok());
        let mut meters = chips.flat_map(|chip| chip.machine_meters());
        let (meter, _) = meters.next().filter(|(_, has_value)| *has_value)?;
        meters.next().is_none().then(|| meter.to_owned())
    }

    /// Whether there is any chip that is read.
    pub(crate) fn is_there(&self) -> bool {
        self.chips.values().any(|place| place.chip.is_ok())
    }

    fn look(&mut self, pass: &Pass<'_>, skipped: &mut Skipped) {
        let now = Now::read();
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= LOOK_AGAIN);
        let class = self.roots.path(CLASS);
        let mut names = self.roots.names(CLASS, 4 * MOST_CHIPS).unwrap_or_default();
        names.sort_by_key(|name| (name.len(), name.clone()));
        let paths: Vec<PathBuf> = names.iter().map(|name| class.join(name)).collect();
        let (read, left) = paths.split_at(paths.len().min(MOST_CHIPS));
        self.chips.retain(|path, _| read.contains(path));
        let mut sensors = 0;
        let mut left_out = left.len() as u64;
        let mut is_new = false;
        for path in read {
            if !pass.enter(path) {
                let chip = Err(Skip::LeftAlone);
                self.chips.insert(path.clone(), Place { inode: 0, chip });
                continue;
            }
            let Some(inode) = inode(path) else {
                self.chips.remove(path);
                continue;
            };
            let room = MOST_SENSORS - sensors;
            match self.chips.get_mut(path) {
                Some(place) if place.inode == inode => {
                    if let Ok(chip) = &mut place.chip
                        && is_due
                    {
                        left_out += chip.look(path, room);
                    }
                }
                _ => {
                    is_new = true;
                    let chip = Chip::open(path, &self.identity, &self.places, self.cores, room);
                    let chip = chip.map(|(chip, left)| {
                        left_out += left;
                        Box::new(chip)
                    });
                    self.chips.insert(path.clone(), Place { inode, chip });
                }
            }
            if let Some(Ok(chip)) = self.chips.get(path).map(|place| &place.chip) {
                sensors += chip.len();
            }
        }
        if is_due || is_new {
            self.looked = Some(now);
            self.places.keep(&class, read);
            self.distinguish();
            if self.is_there() {
                skipped.begin();
            }
            skipped.add_all(left_out, Reason::TooMany);
        }
    }

    /// Gives each of several chips at the same stable place a place of its own.
    fn distinguish(&mut self) {
        let mut places: BTreeMap<String, Vec<(Seat, Option<&mut Chip>)>> = BTreeMap::new();
        for (path, place) in &mut self.chips {
            let (known, chip) = match &mut place.chip {
                Ok(chip) => (Some(chip.place()), Some(chip)),
                Err(Skip::LeftAlone) => (self.places.of(path), None),
                Err(_) => (None, None),
            };
            if let Some((stable, device)) = known {
                let path = path.clone();
                let seat = Seat { device, path };
                places
                    .entry(stable)
                    .or_default()
                    .push((seat, chip.map(|chip| &mut **chip)));
            }
        }
        for (stable, mut chips) in places {
            chips.sort_by(|(a, _), (b, _)| a.cmp(b));
            let (seats, chips): (Vec<Seat>, Vec<_>) = chips.into_iter().unzip();
            let numbers = self.places.numbers(&format!("hwmon/{stable}"), &seats);
            for (nth, chip) in numbers.into_iter().zip(chips) {
                if let Some(chip) = chip {
                    chip.set_nth(nth, &self.identity);
                }
            }
        }
    }
}

/// Chips for `agent doctor`: how many are read, and how many are left to other sources or to themselves.
pub(crate) fn count(roots: &HostRoots) -> (usize, usize) {
    let names = roots.names(CLASS, MOST_CHIPS).unwrap_or_default();
    let class = roots.path(CLASS);
    let is_read = |name: &&String| kind::of(&class.join(name)).is_ok();
    let read = names.iter().filter(is_read).count();
    (read, names.len() - read)
}
