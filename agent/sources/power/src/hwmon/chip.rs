//! One chip: which sensors it has, and how often it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use accelscope_core::metric::Point;

use super::kind::{self, Kind, Skip};
use super::sensor::{Family, Sensor};
use super::within;
use crate::attribute::Attribute;
use crate::identity::{Identity, stable};
use crate::now::Now;
use crate::reason::Skipped;
use crate::sensors::{Place, Places};

/// Most names in a chip's directory that are looked at. A Super I/O chip has some 300.
const MOST_NAMES: usize = 4096;
/// Share of the time that a slow chip may be read, and the longest time between two readings. A sensor on I2C takes up to
/// 100 ms.
const SLOW: Duration = Duration::from_millis(100);
const ONE_IN: u32 = 100;
const LONGEST_REST: Duration = Duration::from_secs(120);
/// A disk makes a command of its log of each reading, which takes it out of its saving states.
const REST_OF_DISK: Duration = Duration::from_secs(60);

/// A chip.
#[derive(Debug)]
pub(super) struct Chip {
    kind: Kind,
    cores: bool,
    nth: u32,
    /// Names of the files when they were looked through.
    names: BTreeSet<String>,
    sensors: Vec<Sensor>,
    /// For each sensor those that it is part of, the smallest first.
    around: Vec<Vec<usize>>,
    /// `runtime_status` of the PCI function.
    power_state: Option<Attribute>,
    /// When it is read again.
    next: Option<Duration>,
    points: Vec<Point>,
}

impl Chip {
    /// With at most `room` sensors; how many are left out comes with it.
    pub(super) fn open(
        path: &Path,
        identity: &Identity,
        places: &Places,
        cores: bool,
        room: usize,
    ) -> Result<(Self, u64), Skip> {
        let kind = kind::of(path)?;
        // Before its sensors are read, which may be what does not return.
        places.note(path, place(&kind));
        let power_state = kind.function.as_ref();
        let mut chip = Self {
            power_state: power_state.map(|function| Attribute::new(function.join("power/runtime_status"))),
            kind,
            cores,
            nth: 0,
            names: BTreeSet::new(),
            sensors: Vec::new(),
            around: Vec::new(),
            next: None,
            points: Vec::new(),
        };
        let left_out = chip.look(path, room);
        chip.set_nth(0, identity);
        Ok((chip, left_out))
    }

    pub(super) fn len(&self) -> usize {
        self.sensors.len()
    }

    /// Looks through the files, and reads the limits.
    pub(super) fn look(&mut self, path: &Path, room: usize) -> u64 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(MOST_NAMES);
        let names: BTreeSet<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        let mut files: BTreeMap<(Family, u32), BTreeSet<&str>> = BTreeMap::new();
        for name in &names {
            if let Some((family, number, attribute)) = Family::split(name) {
                files.entry((family, number)).or_default().insert(attribute);
            }
        }
        if names != self.names {
            let sensors = files.iter().filter_map(|((family, number), attributes)| {
                Sensor::new(path, &self.kind, *family, *number, attributes)
            });
            let mut sensors: Vec<Sensor> = sensors.collect();
            self.leave_out_cores(&mut sensors);
            for sensor in &mut sensors {
                if let Some(known) = self.sensors.iter().position(|known| known.is(sensor)) {
                    *sensor = self.sensors.swap_remove(known);
                }
            }
            self.sensors = sensors;
            self.names = names;
        }
        let left_out = self.sensors.len().saturating_sub(room);
        self.sensors.truncate(room);
        self.around = around(&self.kind.name, &self.sensors);
        for sensor in &mut self.sensors {
            sensor.read_limits();
        }
        left_out as u64
    }

    /// Which socket a core of AMD's is in cannot be told where there are several.
    fn leave_out_cores(&self, sensors: &mut Vec<Sensor>) {
        let name = self.kind.name.as_str();
        if !self.cores && name == "coretemp" && sensors.iter().any(|one| one.label().starts_with("Package")) {
            sensors.retain(|sensor| !sensor.label().starts_with("Core "));
        }
        let sockets = sensors.iter().filter(|one| within::is_amd_socket(one.label())).count();
        if !self.cores || sockets != 1 {
            sensors.retain(|sensor| !within::is_amd_core(name, sensor.label()));
        }
    }

    /// Where it is in the machine, without and with what is numbered anew at each boot.
    pub(super) fn place(&self) -> Place {
        place(&self.kind)
    }

    /// The chip is the `nth` at its stable place.
    pub(super) fn set_nth(&mut self, nth: u32, identity: &Identity) {
        self.nth = nth;
        let (place, _) = self.place();
        for sensor in &mut self.sensors {
            sensor.identify(&format!("hwmon/{place}/{nth}"), identity, &self.kind);
        }
    }

    /// Reads the sensors, unless the chip rests or its device is suspended, which a reading would end.
    pub(super) fn read(&mut self, skipped: &Skipped) {
        if let Some(state) = &mut self.power_state
            && let Ok(Some(state)) = state.word()
            && state.starts_with("suspend")
        {
            self.points.clear();
            self.next = None;
            return;
        }
        let now = Now::read();
        if self.next.is_some_and(|next| now.awake < next) {
            return;
        }
        let begun = Instant::now();
        self.points.clear();
        for sensor in &mut self.sensors {
            sensor.read(&mut self.points, skipped);
        }
        // Where tests run, a machine that is busy is slow, and not the chip.
        let took = if cfg!(test) { Duration::ZERO } else { begun.elapsed() };
        self.next = rest(took, self.kind.of == "physical_disk").map(|rest| now.awake + rest);
    }

    /// Marks its values as parts of what others of its sensors or this meter of the machine's power measure. A meter of a machine
    /// has no parent but in its own chip.
    pub(super) fn set_parents(&mut self, meter: Option<&str>) {
        let parents: Vec<Option<String>> = (0..self.sensors.len()).map(|nth| self.parent(nth, meter)).collect();
        for (sensor, parent) in self.sensors.iter_mut().zip(parents) {
            // Its energy is the socket's, whether that can be read or not.
            if parent.is_none() && within::is_amd_core(&self.kind.name, sensor.label()) {
                self.points.retain(|point| !sensor.owns(point));
            }
            let Some([before, after]) = sensor.set_parent(parent.as_deref()) else {
                continue;
            };
            for point in &mut self.points {
                if Arc::ptr_eq(&point.attributes, &before) {
                    point.attributes = after.clone();
                }
            }
        }
    }

    fn parent(&self, nth: usize, meter: Option<&str>) -> Option<String> {
        let sensor = &self.sensors[nth];
        let around = self.around[nth].iter().map(|nth| &self.sensors[*nth]);
        let inner = around.filter(|outer| outer.has_series()).map(Sensor::hw_id).next();
        let is_part = sensor.family() == Family::Power && !sensor.is_machine_meter();
        inner.or(meter.filter(|_| is_part)).map(str::to_owned)
    }

    /// The points of the last reading.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// `hw.id` of each sensor of a whole machine's power, and whether it has a value now. One that is part of another is none.
    pub(super) fn machine_meters(&self) -> impl Iterator<Item = (&str, bool)> {
        let meters = self.sensors.iter().zip(&self.around);
        let meters = meters.filter(|(sensor, around)| sensor.is_machine_meter() && around.is_empty());
        meters.map(|(sensor, _)| (sensor.hw_id(), sensor.has_value()))
    }
}

fn around(chip: &str, sensors: &[Sensor]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new(); sensors.len()];
    for family in [Family::Power, Family::Energy] {
        let of_family = || sensors.iter().enumerate().filter(|(_, one)| one.family() == family);
        let labels: Vec<&str> = of_family().map(|(_, one)| one.label()).collect();
        let places: Vec<usize> = of_family().map(|(nth, _)| nth).collect();
        for (place, around) in places.iter().zip(within::around(chip, &labels)) {
            all[*place] = around.into_iter().map(|nth| places[nth]).collect();
        }
    }
    all
}

fn place(kind: &Kind) -> Place {
    (format!("{}/{}", stable(&kind.device), kind.name), kind.device.clone())
}

/// How long a chip is not read after a reading that took so long.
fn rest(took: Duration, is_disk: bool) -> Option<Duration> {
    let slow = (took >= SLOW).then(|| (took * ONE_IN).min(LONGEST_REST));
    slow.max(is_disk.then_some(REST_OF_DISK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_chip_is_read_one_hundredth_of_the_time_and_a_disk_once_a_minute() {
        let rest = |millis, is_disk| rest(Duration::from_millis(millis), is_disk).map(|rest| rest.as_secs());
        assert_eq!(rest(99, false), None);
        assert_eq!(rest(300, false), Some(30));
        assert_eq!(rest(60_000, false), Some(120));
        assert_eq!(rest(2, true), Some(60));
        assert_eq!(rest(900, true), Some(90));
    }
}
