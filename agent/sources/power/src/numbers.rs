//! Numbers that tell devices at one stable place apart.
//!
//! The first look numbers them in their order, as each start of the agent does. From then on a device keeps its number while it
//! is there, and it is kept for it when it is not: one that comes to the same path has it again, one that comes to another path
//! has a number that none had. So the series of a device that has gone never shows the values of another one.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Most places that are remembered, and most devices of one: beyond, those that were not seen for longest are not.
const MOST_PLACES: usize = 1024;
const MOST_DEVICES: usize = 256;

/// Where a device is now: its directory, and its path of its class, of which one device may have several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) device: PathBuf,
    pub(crate) path: PathBuf,
}

#[derive(Debug, Default)]
struct Known {
    /// The next number that none has had.
    next: u32,
    seats: Vec<(u32, Seat)>,
    looked: u64,
}

/// The numbers of the places of this machine.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    places: BTreeMap<String, Known>,
    looks: u64,
}

impl Numbers {
    /// The numbers of all devices that are at this place now. Newcomers are numbered in their order.
    pub(crate) fn of(&mut self, place: &str, seats: &[Seat]) -> Vec<u32> {
        self.looks += 1;
        if self.places.len() >= MOST_PLACES && !self.places.contains_key(place) {
            let oldest = self.places.iter().min_by_key(|(_, known)| known.looked);
            let oldest = oldest.map(|(place, _)| place.clone());
            oldest.and_then(|place| self.places.remove(&place));
        }
        let known = self.places.entry(place.to_owned()).or_default();
        known.looked = self.looks;
        known.number(seats)
    }
}

impl Known {
    fn number(&mut self, seats: &[Seat]) -> Vec<u32> {
        let mut numbers: Vec<Option<u32>> = vec![None; seats.len()];
        let is_same: [fn(&Seat, &Seat) -> bool; 2] = [|a, b| a == b, |a, b| a.device == b.device];
        for is_same in is_same {
            for nth in 0..seats.len() {
                if numbers[nth].is_none() {
                    let mut before = self.seats.iter();
                    let before =
                        before.find(|(number, seat)| is_same(seat, &seats[nth]) && !numbers.contains(&Some(*number)));
                    numbers[nth] = before.map(|(number, _)| *number);
                }
            }
        }
        let numbers = numbers.into_iter().map(|number| {
            number.unwrap_or_else(|| {
                self.next = self.next.saturating_add(1);
                self.next - 1
            })
        });
        let numbers: Vec<u32> = numbers.collect();
        // Those that are here now come last.
        self.seats.retain(|(number, _)| !numbers.contains(number));
        self.seats.extend(numbers.iter().copied().zip(seats.iter().cloned()));
        let surplus = self.seats.len().saturating_sub(MOST_DEVICES.max(seats.len()));
        self.seats.drain(..surplus);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(device: &str, path: &str) -> Seat {
        Seat {
            device: device.into(),
            path: path.into(),
        }
    }

    #[test]
    fn a_number_is_that_of_one_device_for_ever() {
        let mut numbers = Numbers::default();
        let mut of = |seats: &[(&str, &str)]| {
            let seats: Vec<Seat> = seats.iter().map(|(device, path)| seat(device, path)).collect();
            numbers.of("place", &seats)
        };
        assert_eq!(of(&[("a", "hwmon1"), ("b", "hwmon0")]), [0, 1]);
        assert_eq!(of(&[("b", "hwmon0")]), [1]);
        // Another device, and the first again, under the number of the other.
        assert_eq!(of(&[("b", "hwmon0"), ("c", "hwmon1")]), [1, 2]);
        assert_eq!(of(&[("a", "hwmon7"), ("b", "hwmon0"), ("c", "hwmon1")]), [0, 1, 2]);
        // Two of one device.
        assert_eq!(of(&[("d", "hwmon3"), ("d", "hwmon4")]), [3, 4]);
        assert_eq!(of(&[("d", "hwmon4")]), [4]);
        assert_eq!(of(&[("d", "hwmon9"), ("d", "hwmon4")]), [3, 4]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_numbers_are_not_used_again() {
        let mut numbers = Numbers::default();
        for nth in 0..2000_u32 {
            let device = format!("device{nth}");
            let stays = seat("stays", "stays");
            assert_eq!(numbers.of("place", &[stays, seat(&device, "hwmon1")]), [0, nth + 1]);
            numbers.of(&device, &[seat(&device, "hwmon1")]);
        }
        assert!(numbers.places.len() <= MOST_PLACES);
        assert!(numbers.places["place"].seats.len() <= MOST_DEVICES);
    }
}
