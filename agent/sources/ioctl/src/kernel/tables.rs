//! The maps that the programs fill, as the agent sees them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use agent_ebpf::{ChannelKey, ErrorKey, Ident, QuotaKey, Record, Slot, Watched, counter};
use aya::maps::{MapData, RingBuf};

use super::bytes;
use super::event::Event;
use super::mapped::Mapped;
use super::object::ObjectError;
use super::sys::Map;

/// A program that had found a number before its key went has long ended after this.
const QUIET: Duration = Duration::from_millis(100);
/// Drains between two looks at all places: what an event should have told is found then at the latest.
const LOOK_EVERY: u32 = 60;
/// The word of an [`Ident`] whose upper half is its mark.
const VALID: usize = 5;
/// [`Ident::valid`] of a number whose key is given up: the programs, which also find a number by what the thread did
/// before, take it only with 1.
const RETIRED: u32 = 2;

const _: () = assert!(std::mem::offset_of!(Ident, valid) == VALID * 8 + 4);

/// All maps.
pub(super) struct Tables {
    maps: HashMap<String, Map>,
    records: Mapped<Record>,
    idents: Mapped<Ident>,
    slots: Mapped<Slot>,
    watched: Mapped<Watched>,
    counters: Mapped<u64>,
    events: RingBuf<MapData>,
    /// Numbers that have a key, or had one that is retired.
    known: BTreeSet<u32>,
    lost: u64,
    drains: u32,
    retired: BTreeMap<u32, Retired>,
}

/// A number without a key, until nobody can reach it.
struct Retired {
    since: Instant,
    /// Drains at whose end no call in flight named it.
    quiet: u32,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables")
            .field("known", &self.known.len())
            .finish_non_exhaustive()
    }
}

fn refused(name: &str) -> impl FnOnce(io::Error) -> ObjectError {
    let name = name.to_owned();
    |source| ObjectError::Map { name, source }
}

impl Tables {
    pub(super) fn new(maps: HashMap<String, Map>) -> Result<Self, ObjectError> {
        fn mapped<T: super::mapped::Plain>(maps: &HashMap<String, Map>, name: &str) -> Result<Mapped<T>, ObjectError> {
            let map = maps.get(name).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
            map.and_then(Mapped::new).map_err(refused(name))
        }
        let (records, idents) = (mapped(&maps, "RECORDS")?, mapped(&maps, "IDENTS")?);
        let (slots, watched) = (mapped(&maps, "SLOTS")?, mapped(&maps, "WATCHED")?);
        let counters = mapped(&maps, "COUNTERS")?;
        let events = ring(&maps).map_err(refused("EVENTS"))?;
        let tables = Self {
            records,
            idents,
            slots,
            watched,
            counters,
            events,
            known: BTreeSet::new(),
            lost: 0,
            drains: 0,
            retired: BTreeMap::new(),
            maps,
        };
        for number in 0..tables.records.len() {
            tables
                .map("FREE")?
                .update(&[], &number.to_ne_bytes())
                .map_err(refused("FREE"))?;
        }
        Ok(tables)
    }

    fn map(&self, name: &str) -> Result<&Map, ObjectError> {
        self.maps
            .get(name)
            .ok_or_else(|| refused(name)(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Does something with a map; what fails is said, and left for the next drain.
    fn with(&self, name: &str, act: impl FnOnce(&Map) -> io::Result<()>) {
        let result = self.map(name).and_then(|map| act(map).map_err(refused(name)));
        if let Err(error) = result {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a map of the eBPF programs could not be used; the next reading tries again"
            );
        }
    }

    pub(super) fn events(&mut self, visit: &mut dyn FnMut(Event<'_>)) {
        // No more than fit: a machine that makes them faster than they are read must not keep the drain from its end.
        for _ in 0..65_536 {
            let Some(entry) = self.events.next() else { break };
            let Some(event) = Event::parse(&entry) else { continue };
            if let Event::Key { record, .. } = event {
                self.known.insert(record);
            }
            visit(event);
        }
        let lost = self.counters.get(counter::EVENT_LOST).unwrap_or(0);
        if lost != self.lost || self.drains.is_multiple_of(LOOK_EVERY) {
            self.lost = lost;
            let valid = (0..self.idents.len()).filter(|number| self.is_valid(*number));
            let valid: Vec<_> = valid.collect();
            self.known.extend(valid);
        }
        self.drains = self.drains.wrapping_add(1);
    }

    /// Whether a number has a key, or had one that is retired.
    fn is_valid(&self, number: u32) -> bool {
        let Some(word) = self.idents.get_word(number, VALID) else {
            return false;
        };
        let [.., a, b, c, d] = word.to_ne_bytes();
        matches!(u32::from_ne_bytes([a, b, c, d]), 1 | RETIRED)
    }

    fn mark(&self, number: u32, ident: &Ident, mark: u32) {
        let mut word = [0; 8];
        word[..4].copy_from_slice(&ident.pid.to_ne_bytes());
        word[4..].copy_from_slice(&mark.to_ne_bytes());
        self.idents.set_word(number, VALID, u64::from_ne_bytes(word));
    }

    pub(super) fn ready(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    pub(super) fn slots(&self, visit: &mut dyn FnMut(&Slot)) {
        for place in 0..self.slots.len() {
            // The owner is the first word, read twice: between two equal readings, the rest is of that call or an
            // earlier one of the same thread, which `began` tells.
            let Some(owner @ 1..) = self.slots.get_word(place, 0) else {
                continue;
            };
            let Some(slot) = self.slots.get(place) else { continue };
            let same =
                self.slots.get_word(place, 0) == Some(owner) && self.slots.get_word(place, 1) == Some(slot.began);
            if same && slot.owner == owner && slot.began != 0 {
                visit(&slot);
            }
        }
        if self.counters.get(counter::OVERFLOWING).unwrap_or(0) != 0 {
            self.with("OVERFLOW", |map| map.each(&mut |_, value| visit(&bytes::slot(value))));
        }
    }

    /// A record cannot tear in a way that matters: each of its values is one word and only grows.
    pub(super) fn records(&self, visit: &mut dyn FnMut(u32, &Ident, &Record)) {
        for number in &self.known {
            if !self.is_valid(*number) {
                continue;
            }
            if let (Some(ident), Some(record)) = (self.idents.get(*number), self.records.get(*number)) {
                visit(*number, &ident, &record);
            }
        }
    }

    pub(super) fn errors(&self, visit: &mut dyn FnMut(ErrorKey, u64)) {
        self.with("ERRORS", |map| {
            map.each(&mut |key, value| visit(bytes::error_key(key), bytes::word(value, 0)))
        });
    }

    pub(super) fn channels(&self, visit: &mut dyn FnMut(ChannelKey, u64)) {
        self.with("CHANNELS", |map| {
            map.each(&mut |key, value| visit(bytes::channel_key(key), bytes::word(value, 0)))
        });
    }

    pub(super) fn counters(&self) -> [u64; agent_ebpf::COUNTERS as usize] {
        std::array::from_fn(|place| self.counters.get(place as u32).unwrap_or(0))
    }

    pub(super) fn retire(&mut self, number: u32) {
        if self.retired.contains_key(&number) || !self.is_valid(number) {
            return;
        }
        let Some(ident) = self.idents.get(number) else { return };
        self.mark(number, &ident, RETIRED);
        let removed = self.map("INDEX").and_then(|map| {
            map.delete(&bytes::key(&ident.key))
                .or_else(|error| {
                    if error.raw_os_error() == Some(libc::ENOENT) {
                        Ok(())
                    } else {
                        Err(error)
                    }
                })
                .map_err(refused("INDEX"))
        });
        if let Err(error) = removed {
            tracing::debug!(error = &error as &dyn std::error::Error, "a key stays");
            self.mark(number, &ident, 1);
            return;
        }
        self.uncharge(&QuotaKey {
            cgroup_v2: ident.key.cgroup_v2,
            cgroup_v1: ident.key.cgroup_v1,
        });
        let since = Instant::now();
        self.retired.insert(number, Retired { since, quiet: 0 });
    }

    /// A key less for a control group. A key that is made at this very moment may go uncounted: the quota bounds floods,
    /// it is no account.
    fn uncharge(&self, group: &QuotaKey) {
        let key = bytes::quota_key(group);
        self.with("QUOTA", |map| match map.lookup(&key) {
            Ok(value) => match bytes::count32(&value) {
                0 | 1 => map.delete(&key),
                count => map.update(&key, &(count - 1).to_ne_bytes()),
            },
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            Err(error) => Err(error),
        });
    }

    pub(super) fn settle(&mut self, freed: &mut dyn FnMut(u32)) {
        if self.retired.is_empty() {
            return;
        }
        let mut in_flight = BTreeSet::new();
        // Also slots that are just being filled, whose number is not yet to be relied on: they were claimed now, and the
        // next drain sees them whole.
        self.slots(&mut |slot| {
            in_flight.insert(slot.record);
        });
        let now = Instant::now();
        let mut free = Vec::new();
        for (number, retired) in &mut self.retired {
            if in_flight.contains(number) || now.duration_since(retired.since) < QUIET {
                continue;
            }
            retired.since = now;
            retired.quiet += 1;
            // The first quiet drain may have read the record before the last return was added to it.
            if retired.quiet > 1 {
                free.push(*number);
            }
        }
        self.forget("ERRORS", &free);
        self.forget("CHANNELS", &free);
        for number in free {
            self.retired.remove(&number);
            self.known.remove(&number);
            self.idents.clear(number);
            self.records.clear(number);
            self.with("FREE", |map| map.update(&[], &number.to_ne_bytes()));
            freed(number);
        }
    }

    /// Removes the keys that begin with one of the numbers.
    fn forget(&self, name: &str, numbers: &[u32]) {
        if numbers.is_empty() {
            return;
        }
        self.with(name, |map| {
            let mut keys = Vec::new();
            map.each(&mut |key, _| {
                if numbers.contains(&bytes::count32(key)) {
                    keys.push(key.to_vec());
                }
            })?;
            keys.iter().try_for_each(|key| map.delete(key))
        });
    }

    /// Forgets the calls in flight of devices whose hooks are gone: nobody will see them return.
    pub(super) fn abandon(&self, gone: &dyn Fn(u32) -> bool) {
        for place in 0..self.slots.len() {
            if self
                .slots
                .get(place)
                .is_some_and(|slot| slot.owner != 0 && gone(slot.device))
            {
                self.slots.clear(place);
            }
        }
        let mut threads = Vec::new();
        self.with("OVERFLOW", |map| {
            map.each(&mut |key, value| {
                if gone(bytes::slot(value).device) {
                    threads.push(key.to_vec());
                }
            })?;
            for thread in &threads {
                match map.delete(thread) {
                    Ok(()) => self.counters.take_one(counter::OVERFLOWING),
                    // It returned at this very moment.
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
    }

    /// Frees the place of a call, if it is still that call's.
    pub(super) fn release(&self, call: &Slot) {
        let is_that = |slot: &Slot| slot.owner == call.owner && slot.began == call.began;
        for place in 0..self.slots.len() {
            if self.slots.get(place).is_some_and(|slot| is_that(&slot)) {
                return self.slots.clear(place);
            }
        }
        let mut thread = None;
        self.with("OVERFLOW", |map| {
            map.each(&mut |key, value| {
                if is_that(&bytes::slot(value)) {
                    thread = Some(key.to_vec());
                }
            })?;
            let Some(thread) = &thread else { return Ok(()) };
            match map.delete(thread) {
                Ok(()) => self.counters.take_one(counter::OVERFLOWING),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
            Ok(())
        });
    }

    pub(super) fn watched(&self) -> &Mapped<Watched> {
        &self.watched
    }

    pub(super) fn set_hailo(&self, key: &[u8], value: &[u8]) {
        self.with("HAILO", |map| map.update(key, value));
    }

    /// What each map takes, as computed and by the kernel's own account.
    #[cfg(test)]
    pub(super) fn memory(&self, machine: super::budget::Machine) -> Vec<(String, u64, Option<u64>)> {
        let of = |(name, map): (&String, &Map)| {
            let computed = super::budget::bytes(map.shape(), machine);
            (name.clone(), computed, map.told_memory())
        };
        self.maps.iter().map(of).collect()
    }
}

fn ring(maps: &HashMap<String, Map>) -> io::Result<RingBuf<MapData>> {
    let map = maps
        .get("EVENTS")
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let data = MapData::from_fd(map.as_fd().try_clone_to_owned()?).map_err(io::Error::other)?;
    let map = aya::maps::Map::from_map_data(data).map_err(io::Error::other)?;
    RingBuf::try_from(map).map_err(io::Error::other)
}
