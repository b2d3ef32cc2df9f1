//! The maps that the eBPF programs fill.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use agent_ebpf::{ChannelKey, ErrorKey, Ident, Key, QuotaKey, Record, Slot, Watched, counter};
use aya::maps::{Map, MapData, MapError, Queue, RingBuf};
use rustix::event::{PollFd, PollFlags};

use super::drivers;
use super::event::Event;
use super::interface::Counts;
use super::mapped::{Mappable, Mapped};
use super::object::ObjectError;
use super::table::{Table, io_error};
use accelscope_core::host::poll;

/// A program that looked up a number before its key was removed has ended after this time.
const GRACE_PERIOD: Duration = Duration::from_millis(100);
/// Drains between two searches of all identities: keys with an event that was lost unnoticed are found then at the
/// latest.
const SEARCH_EVERY: u32 = 60;
/// Most events of one drain, so that it ends on a machine that produces them faster than they are read.
const MAX_EVENTS: usize = 65_536;
/// Index of the word of an [`Ident`] with [`Ident::valid`] in its upper half.
const VALID: usize = 5;
/// [`Ident::valid`] of a number without a key. Programs that cached the number accept it only with 1.
const RETIRED: u32 = 2;

const _: () = assert!(std::mem::offset_of!(Ident, valid) == VALID * 8 + 4);

/// All maps.
pub(super) struct Maps {
    index: Table<Key, u32>,
    records: Mappable<Record>,
    idents: Mappable<Ident>,
    free: Queue<MapData, u32>,
    quota: Table<QuotaKey, u32>,
    slots: Mappable<Slot>,
    overflow: Table<u32, Slot>,
    errors: Table<ErrorKey, u64>,
    channels: Table<ChannelKey, u64>,
    watched: Mapped<Watched>,
    layouts: Table<drivers::LayoutKey, drivers::Layouts>,
    counters: Mapped<u64>,
    /// A ring buffer.
    events: Map,
    /// Maps that only the programs use.
    _internal: HashMap<String, MapData>,
    /// Numbers that have a key, or had one that is retired.
    numbers: BTreeSet<u32>,
    /// Lost events at the last drain.
    lost: u64,
    drains: u32,
    retired: BTreeMap<u32, Retired>,
}

/// A number without a key, until no program can use it.
struct Retired {
    since: Instant,
    /// Number of drains that ended without a call in flight with this number.
    unused: u32,
}

/// Takes a map out of those that were created.
fn open<T>(
    maps: &mut HashMap<String, MapData>,
    name: &str,
    open: impl FnOnce(MapData) -> io::Result<T>,
) -> Result<T, ObjectError> {
    let map = maps
        .remove(name)
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    map.and_then(open).map_err(ObjectError::map(name))
}

/// One that can be mapped. Each reading maps it anew, or its pages would always be resident, each of them twice.
fn ring_buffer(map: MapData) -> io::Result<Map> {
    let mut map = Map::from_map_data(map).map_err(io_error)?;
    RingBuf::try_from(&mut map).map_err(io_error)?;
    Ok(map)
}

/// As one of aya's types.
fn typed<T: TryFrom<Map, Error = MapError>>(map: MapData) -> io::Result<T> {
    Map::from_map_data(map).and_then(T::try_from).map_err(io_error)
}

/// What was read of a map. Logs the failure; the next drain retries.
fn logged<T>(name: &str, result: io::Result<T>) -> Option<T> {
    let log = |error: &ObjectError| {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "a map of the eBPF programs could not be used; the next reading tries again"
        );
    };
    result.map_err(ObjectError::map(name)).inspect_err(log).ok()
}

impl Maps {
    pub(super) fn new(mut maps: HashMap<String, MapData>) -> Result<Self, ObjectError> {
        let mut opened = Self {
            index: open(&mut maps, "INDEX", Table::new)?,
            records: open(&mut maps, "RECORDS", Mappable::new)?,
            idents: open(&mut maps, "IDENTS", Mappable::new)?,
            free: open(&mut maps, "FREE", typed)?,
            quota: open(&mut maps, "QUOTA", Table::new)?,
            slots: open(&mut maps, "SLOTS", Mappable::new)?,
            overflow: open(&mut maps, "OVERFLOW", Table::new)?,
            errors: open(&mut maps, "ERRORS", Table::new)?,
            channels: open(&mut maps, "CHANNELS", Table::new)?,
            watched: open(&mut maps, "WATCHED", |map| Mappable::new(map)?.all())?,
            layouts: open(&mut maps, drivers::LAYOUT_TABLE, Table::new)?,
            counters: open(&mut maps, "COUNTERS", |map| Mappable::new(map)?.all())?,
            events: open(&mut maps, "EVENTS", ring_buffer)?,
            _internal: maps,
            numbers: BTreeSet::new(),
            lost: 0,
            drains: 0,
            retired: BTreeMap::new(),
        };
        for number in 0..opened.records.len() {
            opened.set_free(number).map_err(ObjectError::map("FREE"))?;
        }
        Ok(opened)
    }

    fn set_free(&mut self, number: u32) -> io::Result<()> {
        self.free.push(number, 0).map_err(io_error)
    }

    fn has_events(&self) -> bool {
        self.ready().is_some_and(|ready| {
            let mut ready = [PollFd::from_borrowed_fd(ready, PollFlags::IN)];
            poll::wait(&mut ready, Some(Instant::now())).unwrap_or(true)
        })
    }

    /// Removes a key from the count of its control group. A key that is created at the same time may not be counted: the
    /// quota limits floods and need not be exact.
    fn uncharge(&mut self, key: &Key) -> io::Result<()> {
        let group = QuotaKey {
            cgroup_v2: key.cgroup_v2,
            cgroup_v1: key.cgroup_v1,
        };
        match self.quota.get(&group)? {
            None => Ok(()),
            Some(0 | 1) => self.quota.remove(&group).map(drop),
            Some(count) => self.quota.insert(&group, &(count - 1)),
        }
    }

    /// Nothing if not all could be read.
    fn visit_slots(&self, visit: &mut dyn FnMut(&Slot)) -> Option<()> {
        // Each call in flight has a key.
        if self.numbers.is_empty() {
            return Some(());
        }
        let slots = logged("SLOTS", self.slots.all())?;
        for place in 0..self.slots.len() {
            // The owner is the first word, read twice: between two equal readings, the rest is of that call or of an
            // earlier one of the same thread, which differs in `began`.
            let Some(owner @ 1..) = slots.get_word(place, 0) else {
                continue;
            };
            let Some(slot) = slots.get(place) else { continue };
            let same = slots.get_word(place, 0) == Some(owner) && slots.get_word(place, 1) == Some(slot.began);
            if same && slot.owner == owner && slot.began != 0 {
                visit(&slot);
            }
        }
        if self.counters.get(counter::OVERFLOWING).unwrap_or(0) != 0 {
            logged("OVERFLOW", self.overflow.for_each(&mut |_, slot| visit(slot)))?;
        }
        Some(())
    }

    /// Removes the calls in flight of devices that are no longer hooked: their returns will not be seen. Returns their
    /// owners.
    pub(super) fn abandon(&mut self, gone: &dyn Fn(u32) -> bool) -> Vec<u64> {
        self.clear_slots(&|slot| gone(slot.device))
    }

    /// Returns the owners of the calls that were removed.
    fn clear_slots(&mut self, is_gone: &dyn Fn(&Slot) -> bool) -> Vec<u64> {
        let mut cleared = Vec::new();
        if let Some(slots) = logged("SLOTS", self.slots.all()) {
            for place in 0..self.slots.len() {
                if let Some(slot) = slots.get(place).filter(|slot| slot.owner != 0 && is_gone(slot)) {
                    slots.clear(place);
                    cleared.push(slot.owner);
                }
            }
        }
        // A call that returns at the same time is removed by its program.
        let counters = &self.counters;
        let removed = |slot: &Slot| {
            counters.decrement(counter::OVERFLOWING);
            cleared.push(slot.owner);
        };
        logged("OVERFLOW", self.overflow.remove_where(|_, slot| is_gone(slot), removed));
        cleared
    }

    pub(super) fn watched(&self) -> &Mapped<Watched> {
        &self.watched
    }

    /// Describes arguments to the programs; see [`drivers::arguments`].
    pub(super) fn add_layouts(&mut self, arguments: u32) {
        for (key, command) in drivers::layouts(arguments) {
            logged(drivers::LAYOUT_TABLE, self.layouts.insert(&key, &command));
        }
    }
}

impl Counts for Maps {
    fn events(&mut self, visit: &mut dyn FnMut(Event<'_>)) {
        if self.has_events()
            && let Some(mut events) = logged("EVENTS", RingBuf::try_from(&mut self.events).map_err(io_error))
        {
            for _ in 0..MAX_EVENTS {
                let Some(entry) = events.next() else { break };
                let Some(event) = Event::parse(&entry) else { continue };
                if let Event::Key { record, .. } = event {
                    self.numbers.insert(record);
                }
                visit(event);
            }
        }
        let lost = self.counters.get(counter::EVENT_LOST).unwrap_or(0);
        if (lost != self.lost || self.drains.is_multiple_of(SEARCH_EVERY))
            && let Some(idents) = logged("IDENTS", self.idents.all())
        {
            self.lost = lost;
            self.numbers
                .extend((0..self.idents.len()).filter(|number| is_valid(&idents, *number)));
        }
        self.drains = self.drains.wrapping_add(1);
    }

    fn ready(&self) -> Option<BorrowedFd<'_>> {
        match &self.events {
            Map::RingBuf(map) => Some(map.fd().as_fd()),
            _ => None,
        }
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&Slot)) {
        self.visit_slots(visit);
    }

    /// Frees the place of a call, if another call has not taken it.
    fn release(&mut self, call: &Slot) {
        self.clear_slots(&|slot| slot.owner == call.owner && slot.began == call.began);
    }

    /// A record that changes while it is read is harmless: each of its values is one word and only grows.
    fn records(&mut self, visit: &mut dyn FnMut(u32, &Ident, &Record)) {
        let (Some(first), Some(last)) = (self.numbers.first(), self.numbers.last()) else {
            return;
        };
        let range = *first..last + 1;
        let Some(idents) = logged("IDENTS", self.idents.mapped(range.clone())) else {
            return;
        };
        let Some(records) = logged("RECORDS", self.records.mapped(range)) else {
            return;
        };
        for number in self.numbers.iter().filter(|number| is_valid(&idents, **number)) {
            if let (Some(ident), Some(record)) = (idents.get(*number), records.get(*number)) {
                visit(*number, &ident, &record);
            }
        }
    }

    fn errors(&mut self, visit: &mut dyn FnMut(ErrorKey, u64)) {
        logged("ERRORS", self.errors.for_each(&mut |key, count| visit(*key, *count)));
    }

    fn channels(&mut self, visit: &mut dyn FnMut(ChannelKey, u64)) {
        logged(
            "CHANNELS",
            self.channels.for_each(&mut |key, count| visit(*key, *count)),
        );
    }

    fn counters(&self) -> [u64; agent_ebpf::COUNTERS as usize] {
        std::array::from_fn(|place| self.counters.get(place as u32).unwrap_or(0))
    }

    fn retire(&mut self, number: u32) {
        let Some(idents) = logged("IDENTS", self.idents.mapped(number..number + 1)) else {
            return;
        };
        if self.retired.contains_key(&number) || !is_valid(&idents, number) {
            return;
        }
        let Some(ident) = idents.get(number) else { return };
        mark(&idents, number, &ident, RETIRED);
        if let Err(error) = self.index.remove(&ident.key) {
            tracing::debug!(error = &error as &dyn std::error::Error, "a key could not be removed");
            mark(&idents, number, &ident, 1);
            return;
        }
        if ident.key.is_share() {
            self.counters.decrement(counter::SHARES);
        } else {
            logged("QUOTA", self.uncharge(&ident.key));
        }
        let since = Instant::now();
        self.retired.insert(number, Retired { since, unused: 0 });
    }

    /// Frees the numbers of retired keys that no call in flight uses any more.
    fn free_retired(&mut self, freed: &mut dyn FnMut(u32)) {
        if self.retired.is_empty() {
            return;
        }
        // Slots that are being filled are missing here. They were claimed now, so the next drain sees them.
        let mut in_flight = BTreeSet::new();
        let all = self.visit_slots(&mut |slot| {
            in_flight.insert(slot.record);
        });
        if all.is_none() {
            return;
        }
        let now = Instant::now();
        let mut free = Vec::new();
        for (number, retired) in &mut self.retired {
            if in_flight.contains(number) || now.duration_since(retired.since) < GRACE_PERIOD {
                continue;
            }
            retired.since = now;
            retired.unused += 1;
            // The first such drain may have read the record before the last return was added to it.
            if retired.unused > 1 {
                free.push(*number);
            }
        }
        if free.is_empty() {
            return;
        }
        let (Some(idents), Some(records)) = (
            logged("IDENTS", self.idents.all()),
            logged("RECORDS", self.records.all()),
        ) else {
            return;
        };
        let errors = self.errors.remove_where(|key, _| free.contains(&key.record), |_| {});
        logged("ERRORS", errors);
        let channels = self.channels.remove_where(|key, _| free.contains(&key.record), |_| {});
        logged("CHANNELS", channels);
        for number in free {
            self.retired.remove(&number);
            self.numbers.remove(&number);
            idents.clear(number);
            records.clear(number);
            logged("FREE", self.set_free(number));
            freed(number);
        }
    }
}

/// Sets [`Ident::valid`].
fn mark(idents: &Mapped<Ident>, number: u32, ident: &Ident, valid: u32) {
    let mut word = [0; 8];
    word[..4].copy_from_slice(&ident.pid.to_ne_bytes());
    word[4..].copy_from_slice(&valid.to_ne_bytes());
    idents.set_word(number, VALID, u64::from_ne_bytes(word));
}

/// Whether a number has a key, or had one that is retired.
fn is_valid(idents: &Mapped<Ident>, number: u32) -> bool {
    let Some(word) = idents.get_word(number, VALID) else {
        return false;
    };
    let [.., a, b, c, d] = word.to_ne_bytes();
    matches!(u32::from_ne_bytes([a, b, c, d]), 1 | RETIRED)
}
