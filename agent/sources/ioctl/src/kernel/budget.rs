//! Kernel memory of the maps.
//!
//! It is charged to the agent's control group, so it is computed before any map is created, for as many processors as the
//! machine could ever have.

use aya_obj::Map;
use aya_obj::generated::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, bpf_map_type as kind};

/// Bytes that all maps together may take.
pub const BUDGET: u64 = 8 << 20;

/// The structures that describe a map; upper bounds over the supported kernels.
const DESCRIPTION: u64 = 1024;
/// `struct htab_elem`, before key and value.
const ELEMENT: u64 = 48;
/// `struct bucket`.
const BUCKET: u64 = 16;
/// A hash map's locks for each processor: eight counters, until Linux 6.15.
const LOCKS: u64 = 8 * 4;

/// The machine's properties on which the size of maps depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Possible processors, including those that are offline.
    pub processors: u32,
    /// Bytes of a page.
    pub page: u32,
}

impl Machine {
    /// The machine that the agent runs on. Where the number of possible processors cannot be read, that of the usable
    /// ones.
    pub fn here() -> Self {
        let usable = |_| std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            processors: aya::util::nr_cpus().unwrap_or_else(usable) as u32,
            page: rustix::param::page_size() as u32,
        }
    }
}

fn up(value: u64, to: u64) -> u64 {
    value.next_multiple_of(to.max(1))
}

/// Kernel memory of one map in bytes, after the kernel's own computation (`*_map_mem_usage` of Linux 6.4 to 6.18 in
/// `kernel/bpf/{arraymap,hashtab,queue_stack_maps,ringbuf}.c`); older kernels allocate the same.
pub(super) fn bytes(map: &Map, machine: Machine) -> u64 {
    let (entries, page) = (u64::from(map.max_entries()), u64::from(machine.page));
    let (key, value) = (up(map.key_size().into(), 8), up(map.value_size().into(), 8));
    let processors = u64::from(machine.processors);
    let is = |kind: kind| map.map_type() == kind as u32;
    if is(kind::BPF_MAP_TYPE_HASH) {
        let element = ELEMENT + key + value;
        let buckets = entries.next_power_of_two() * BUCKET;
        let places = if map.map_flags() & BPF_F_NO_PREALLOC == 0 {
            // One more for each processor, so that a value can be replaced in a full map.
            (entries + processors) * element + processors * 8
        } else {
            entries * (element + 8)
        };
        DESCRIPTION + buckets + places + processors * LOCKS
    } else if is(kind::BPF_MAP_TYPE_ARRAY) {
        if map.map_flags() & BPF_F_MMAPABLE == 0 {
            DESCRIPTION + entries * value
        } else {
            up(DESCRIPTION, page) + up(entries * value, page)
        }
    } else if is(kind::BPF_MAP_TYPE_QUEUE) {
        DESCRIPTION + (entries + 1) * u64::from(map.value_size())
    } else if is(kind::BPF_MAP_TYPE_RINGBUF) {
        // Three pages of administration, and each data page is mapped twice in a row.
        let pages = entries.div_ceil(page);
        DESCRIPTION + (3 + pages) * page + (3 + 2 * pages) * 8
    } else {
        // Not used by the programs; estimated as the largest.
        DESCRIPTION + entries * (ELEMENT + BUCKET + key + value) * processors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Machine = Machine {
        processors: 4,
        page: 4096,
    };

    fn map(kind: kind, key: u32, value: u32, entries: u32, flags: u32) -> Map {
        Map::new_from_params(kind as u32, key, value, entries, flags)
    }

    #[test]
    fn a_maps_memory_follows_its_kind() {
        let hash = map(kind::BPF_MAP_TYPE_HASH, 48, 4, 1000, 0);
        assert_eq!(
            bytes(&hash, SMALL),
            DESCRIPTION + 1024 * 16 + 1004 * (48 + 48 + 8) + 4 * 8 + 4 * 32
        );
        let mapped = map(kind::BPF_MAP_TYPE_ARRAY, 4, 8, 16, BPF_F_MMAPABLE);
        assert_eq!(bytes(&mapped, SMALL), 2 * 4096);
        assert_eq!(bytes(&mapped, Machine { page: 65536, ..SMALL }), 2 * 65536);
    }
}
