//! The maps. Sizes are defaults; the agent sets them at load.

use agent_ebpf::{
    COUNTERS as COUNTERS_LEN, ChannelKey, ErrorKey, HailoCommand, HailoKey, Ident, Key, Peek, QuotaKey,
    RECORDS as RECORDS_LEN, Record, SLOT_PROBES, SLOTS as SLOTS_LEN, Settings, Slot, WATCHED_PLACES, Watched,
};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, Queue, RingBuf},
};

/// What the agent knows of this kernel. Read-only and frozen before the programs are verified, so that the verifier knows
/// every value and drops what cannot be reached.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings::NONE;

/// One setting. Volatile, because the compiler must not take the value it sees for the one at load.
macro_rules! setting {
    ($($field:ident).+) => { $crate::maps::at_load(&raw const $crate::maps::SETTINGS.$($field).+) };
}
pub(crate) use setting;

/// See `setting`.
#[inline(always)]
pub(crate) fn at_load(field: *const u32) -> u32 {
    // SAFETY: the macro passes the address of a field of a live static, valid and aligned.
    unsafe { core::ptr::read_volatile(field) }
}

#[map]
pub(crate) static INDEX: HashMap<Key, u32> = HashMap::with_max_entries(RECORDS_LEN, 0);
#[map]
pub(crate) static RECORDS: Array<Record> = Array::with_max_entries(RECORDS_LEN, BPF_F_MMAPABLE);
#[map]
pub(crate) static IDENTS: Array<Ident> = Array::with_max_entries(RECORDS_LEN, BPF_F_MMAPABLE);
#[map]
pub(crate) static FREE: Queue<u32> = Queue::with_max_entries(RECORDS_LEN, 0);
#[map]
pub(crate) static QUOTA: HashMap<QuotaKey, u32> = HashMap::with_max_entries(RECORDS_LEN / 4, 0);
/// The agent sees one array of [`Slot`]s; here a lookup gives all places of a thread at once.
#[map]
pub(crate) static SLOTS: Array<[Slot; SLOT_PROBES as usize]> =
    Array::with_max_entries(SLOTS_LEN / SLOT_PROBES, BPF_F_MMAPABLE);
#[map]
pub(crate) static OVERFLOW: HashMap<u32, Slot> = HashMap::with_max_entries(SLOTS_LEN, 0);
#[map]
pub(crate) static ERRORS: HashMap<ErrorKey, u64> = HashMap::with_max_entries(RECORDS_LEN, 0);
#[map]
pub(crate) static CHANNELS: HashMap<ChannelKey, u64> = HashMap::with_max_entries(RECORDS_LEN / 2, 0);
#[map]
pub(crate) static WATCHED: Array<Watched> = Array::with_max_entries(WATCHED_PLACES, BPF_F_MMAPABLE);
#[map]
pub(crate) static HAILO: HashMap<HailoKey, HailoCommand> = HashMap::with_max_entries(64, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);
#[map]
pub(crate) static COUNTERS: Array<u64> = Array::with_max_entries(COUNTERS_LEN, BPF_F_MMAPABLE);
#[map]
pub(crate) static PEEK: Array<Peek> = Array::with_max_entries(1, 0);
