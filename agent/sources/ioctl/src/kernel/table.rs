//! A hash map of the eBPF programs.

use std::io;
use std::os::fd::AsFd;

use aya::maps::{HashMap, IterableMap, Map, MapData, MapError};

use super::plain::{Plain, Shared, zeroed};
use super::sys::lookup_batch;

/// Elements that are read with one system call.
const BATCH: usize = 256;

/// A hash map. Single elements are accessed through aya, all of them in batches.
pub(super) struct Table<K, V> {
    map: HashMap<MapData, Shared<K>, Shared<V>>,
    entries: usize,
}

/// The kernel's error, so that callers can test its number.
pub(super) fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::CreateError { io_error, .. } | MapError::IoError(io_error) => io_error,
        MapError::SyscallError(error) => error.io_error,
        other => io::Error::other(other),
    }
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// # Errors
    /// If it is no hash map, or its keys and values have other sizes than `K` and `V`.
    pub(super) fn new(map: MapData) -> io::Result<Self> {
        let entries = map.info().map_err(io_error)?.max_entries() as usize;
        let map = Map::from_map_data(map).and_then(HashMap::try_from).map_err(io_error)?;
        Ok(Self { map, entries })
    }

    pub(super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        match self.map.get(&Shared(*key), 0) {
            Ok(Shared(value)) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(io_error(error)),
        }
    }

    pub(super) fn insert(&mut self, key: &K, value: &V) -> io::Result<()> {
        self.map.insert(Shared(*key), Shared(*value), 0).map_err(io_error)
    }

    /// Whether the key was there.
    pub(super) fn remove(&mut self, key: &K) -> io::Result<bool> {
        match self.map.remove(&Shared(*key)).map_err(io_error) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Visits all elements. What is added or removed meanwhile may be missing or come twice.
    pub(super) fn for_each(&self, visit: &mut dyn FnMut(&K, &V)) -> io::Result<()> {
        let map = self.map.map().fd().as_fd();
        let mut keys = vec![zeroed::<K>(); BATCH.min(self.entries)];
        let mut values = vec![zeroed::<V>(); keys.len()];
        let mut start = None;
        loop {
            match lookup_batch(map, start, &mut keys, &mut values) {
                Ok(batch) => {
                    for (key, value) in keys.iter().zip(&values).take(batch.count) {
                        visit(key, value);
                    }
                    if batch.next.is_none() {
                        return Ok(());
                    }
                    start = batch.next;
                }
                // One bucket holds more than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && keys.len() < self.entries => {
                    keys.resize((4 * keys.len()).min(self.entries), zeroed());
                    values.resize(keys.len(), zeroed());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes the elements for which `matches` is true, and calls `removed` for each of them.
    pub(super) fn remove_where(
        &mut self,
        matches: impl Fn(&K, &V) -> bool,
        mut removed: impl FnMut(&V),
    ) -> io::Result<()> {
        let mut matching = Vec::new();
        self.for_each(&mut |key, value| {
            if matches(key, value) {
                matching.push((*key, *value));
            }
        })?;
        for (key, value) in &matching {
            if self.remove(key)? {
                removed(value);
            }
        }
        Ok(())
    }
}
