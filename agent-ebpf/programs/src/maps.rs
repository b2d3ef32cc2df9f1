// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! The maps. Sizes are defaults; the agent sets them at load. Those in sections of their own, [`Global`], have one element
//! that holds all.

use core::{cell::UnsafeCell, mem::MaybeUninit};

use agent_ebpf::{
    COUNTERS as COUNTERS_LEN, ChannelKey, ErrorKey, HailoCommand, HailoKey, Ident, Key, PROCESSORS, Peek, QuotaKey,
    RECORDS as RECORDS_LEN, Record, SLOTS as SLOTS_LEN, Settings, Slot, WATCHED_PLACES, Watched,
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
#[map]
pub(crate) static OVERFLOW: HashMap<u32, Slot> = HashMap::with_max_entries(SLOTS_LEN, 0);
#[map]
pub(crate) static ERRORS: HashMap<ErrorKey, u64> = HashMap::with_max_entries(RECORDS_LEN, 0);
#[map]
pub(crate) static CHANNELS: HashMap<ChannelKey, u64> = HashMap::with_max_entries(RECORDS_LEN / 2, 0);
#[map]
pub(crate) static HAILO: HashMap<HailoKey, HailoCommand> = HashMap::with_max_entries(64, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);
#[map]
pub(crate) static PEEK: Array<Peek> = Array::with_max_entries(1, 0);

/// An array whose address the programs know, so that they need no lookup. Every ioctl of the machine comes by here, on
/// whatever it is called. `N` is a power of two.
#[repr(transparent)]
pub(crate) struct Global<T, const N: usize>(UnsafeCell<MaybeUninit<[T; N]>>);

// SAFETY: only addresses are handed out; who uses them says why it may.
unsafe impl<T, const N: usize> Sync for Global<T, N> {}

impl<T, const N: usize> Global<T, N> {
    const ZERO: Self = {
        assert!(N.is_power_of_two(), "places wrap around");
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    };

    /// The address of a place; those beyond the end begin anew.
    #[inline(always)]
    pub(crate) fn at(&self, place: u32) -> *mut T {
        self.0.get().cast::<T>().wrapping_add(place as usize & (N - 1))
    }
}

// A mangled name would tell the folder that they were built in, and no other build would be the same.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SLOTS")]
pub(crate) static SLOTS: Global<Slot, { SLOTS_LEN as usize }> = Global::ZERO;
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.WATCHED")]
pub(crate) static WATCHED: Global<Watched, { WATCHED_PLACES as usize }> = Global::ZERO;
/// Addresses of the processors' variables with their current task, or 0.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.CURRENT")]
pub(crate) static CURRENT: Global<u64, { PROCESSORS as usize }> = Global::ZERO;
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.COUNTERS")]
pub(crate) static COUNTERS: Global<u64, { COUNTERS_LEN as usize }> = Global::ZERO;
