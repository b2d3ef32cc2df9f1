//! The table in which the programs look up watched devices.

use std::collections::BTreeMap;

use agent_ebpf::{WATCHED_GONE, WATCHED_PROBES, Watched, watched_place};

use super::mapped::Mapped;

/// Access to the table's slots. A trait for tests.
pub(super) trait WatchSlots {
    fn get(&self, place: u32) -> Watched;
    fn set(&self, place: u32, watched: Watched);
}

impl WatchSlots for Mapped<Watched> {
    fn get(&self, place: u32) -> Watched {
        Self::get(self, place).unwrap_or_default()
    }

    fn set(&self, place: u32, watched: Watched) {
        Self::set(self, place, &watched);
    }
}

/// The slots in use, by device number.
#[derive(Debug, Default)]
pub(super) struct WatchTable(BTreeMap<u32, u32>);

impl WatchTable {
    /// Makes the table contain these devices and no others. A device that stays is never missing meanwhile. Returns the
    /// numbers of devices for which no slot was free.
    pub(super) fn apply(&mut self, places: &impl WatchSlots, wanted: &[Watched]) -> Vec<u32> {
        self.0.retain(|number, place| {
            let stays = wanted.iter().any(|watched| watched.number == *number);
            if !stays {
                // Not 0, which would end the search for devices in the slots after it.
                let gone = Watched {
                    number: WATCHED_GONE,
                    ..Watched::default()
                };
                places.set(*place, gone);
            }
            stays
        });
        if self.0.is_empty() {
            for place in 0..agent_ebpf::WATCHED_PLACES {
                if places.get(place).number != 0 {
                    places.set(place, Watched::default());
                }
            }
        }
        let mut left_out = Vec::new();
        for watched in wanted
            .iter()
            .filter(|watched| !matches!(watched.number, 0 | WATCHED_GONE))
        {
            let place = self.0.get(&watched.number).copied().or_else(|| {
                (0..WATCHED_PROBES)
                    .map(|probe| watched_place(watched.number, probe))
                    .find(|place| matches!(places.get(*place).number, 0 | WATCHED_GONE))
            });
            match place {
                Some(place) => {
                    if places.get(place) != *watched {
                        places.set(place, *watched);
                    }
                    self.0.insert(watched.number, place);
                }
                None => left_out.push(watched.number),
            }
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Table(RefCell<Vec<Watched>>);

    impl Table {
        fn new() -> Self {
            Self(RefCell::new(vec![
                Watched::default();
                agent_ebpf::WATCHED_PLACES as usize
            ]))
        }

        /// Looks a device up as the programs do.
        fn find(&self, number: u32) -> Option<Watched> {
            for probe in 0..WATCHED_PROBES {
                let place = self.get(watched_place(number, probe));
                if place.number == number {
                    return Some(place);
                }
                if place.number == 0 {
                    return None;
                }
            }
            None
        }
    }

    impl WatchSlots for Table {
        fn get(&self, place: u32) -> Watched {
            self.0.borrow()[place as usize]
        }

        fn set(&self, place: u32, watched: Watched) {
            self.0.borrow_mut()[place as usize] = watched;
        }
    }

    fn watched(number: u32) -> Watched {
        Watched {
            number,
            device: number & 0xff,
            arguments: 0,
            hook: 1,
        }
    }

    #[test]
    fn as_many_devices_as_promised_are_found_and_no_others() {
        let table = Table::new();
        let mut watching = WatchTable::default();
        let wanted: Vec<_> = (0..agent_ebpf::DEVICES)
            .map(|minor| watched(195 << 20 | minor))
            .collect();
        assert_eq!(watching.apply(&table, &wanted), [0_u32; 0]);
        assert!(wanted.iter().all(|device| table.find(device.number) == Some(*device)));
        assert_eq!(table.find(196 << 20), None);
    }

    #[test]
    fn devices_that_collide_are_found_when_the_first_of_them_goes() {
        let home = watched_place(1 << 20, 0);
        let same: Vec<_> = (1..u32::MAX)
            .filter(|number| watched_place(*number, 0) == home)
            .take(WATCHED_PROBES as usize + 1)
            .map(watched)
            .collect();
        let table = Table::new();
        let mut watching = WatchTable::default();
        let left_out = watching.apply(&table, &same);
        assert_eq!(
            left_out,
            [same.last().unwrap().number],
            "one more than there are places"
        );
        assert_eq!(
            watching.apply(&table, &same[1..]),
            [0_u32; 0],
            "its place is used again"
        );
        assert!(
            same[1..]
                .iter()
                .all(|device| table.find(device.number) == Some(*device))
        );
        assert_eq!(table.find(same[0].number), None);
        watching.apply(&table, &[]);
        assert!(table.0.borrow().iter().all(|place| place.number == 0));
    }
}
