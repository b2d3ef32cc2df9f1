// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What is between entry and return, in two ways.

use agent_ebpf::{SLOT_PROBES, SLOTS as SLOTS_LEN, Slot, counter};
use aya_ebpf::bindings::BPF_ANY;

use crate::{
    atomic::{add, claim, load, note, store},
    kernel::{Direct, Kernel, Probed},
    maps::{COUNTERS, OVERFLOW, SLOTS},
    record,
};

/// A way to keep a thread's call. `owner` is the process id and, in the lower half, the thread id.
pub(crate) trait Flight {
    /// Process id (upper half) and thread id of the current task.
    fn caller() -> u64;
    /// Finds a place; null where this way has none. A former call of the same thread that has not returned is dropped and
    /// counted.
    fn reserve(owner: u64) -> *mut Slot;
    /// The number of the record that the place's last call had, or [`record::NONE`].
    fn hint(place: *mut Slot) -> u32;
    /// Puts a call down at its place.
    fn put(place: *mut Slot, call: &Slot);
    /// Gives a place back.
    fn release(place: *mut Slot);
    /// Takes up what the thread put down.
    fn take(owner: u64) -> Option<Slot>;
}

/// In the array, found by the thread's id; in the hash map where all its places are taken.
pub(crate) struct InSlots;

/// In the hash map only.
pub(crate) struct InTable;

#[inline(always)]
fn places(owner: u64) -> *mut Slot {
    // Thread ids count up, so neighbours get places of their own.
    SLOTS.at((owner as u32 & (SLOTS_LEN / SLOT_PROBES - 1)) * SLOT_PROBES)
}

#[inline(always)]
fn owner_of(slot: *mut Slot) -> *mut u64 {
    // SAFETY: only the field's address is taken.
    unsafe { &raw mut (*slot).owner }
}

/// Marks the place as not yet, or no longer, holding a call.
#[inline(always)]
fn clear(slot: *mut Slot) {
    // SAFETY: an aligned field of a map's value that this thread has claimed.
    unsafe { core::ptr::write_volatile(&raw mut (*slot).began, 0) };
}

impl Flight for InSlots {
    #[inline(always)]
    fn caller() -> u64 {
        Direct::caller()
    }

    #[inline(always)]
    fn reserve(owner: u64) -> *mut Slot {
        let places = places(owner);
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == owner {
                note(counter::RETURN_MISSED);
                clear(slot);
                return slot;
            }
        }
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == 0 && claim(owner_of(slot), owner) {
                return slot;
            }
        }
        core::ptr::null_mut()
    }

    #[inline(always)]
    fn hint(place: *mut Slot) -> u32 {
        // SAFETY: an aligned field of a map's value that this thread has claimed.
        if place.is_null() {
            record::NONE
        } else {
            unsafe { (*place).record }
        }
    }

    #[inline(always)]
    fn put(place: *mut Slot, call: &Slot) {
        if place.is_null() {
            return InTable::put(place, call);
        }
        // SAFETY: the place is claimed by this thread, which is in the kernel and so nowhere else; the agent heeds the
        // fields only where `began`, written last, is not 0.
        unsafe {
            (*place).record = call.record;
            (*place).device = call.device;
            (*place).command = call.command;
            (*place).finish = call.finish;
            (*place).argument = call.argument;
            core::ptr::write_volatile(&raw mut (*place).began, call.began);
        }
    }

    #[inline(always)]
    fn release(place: *mut Slot) {
        if !place.is_null() {
            store(owner_of(place), 0);
        }
    }

    #[inline(always)]
    fn take(owner: u64) -> Option<Slot> {
        let places = places(owner);
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == owner {
                // SAFETY: this thread's own place, as in `put`.
                let call = unsafe { *slot };
                clear(slot);
                store(owner_of(slot), 0);
                return Some(call);
            }
        }
        InTable::take(owner)
    }
}

impl Flight for InTable {
    #[inline(always)]
    fn caller() -> u64 {
        Probed::pid_tgid(0)
    }

    #[inline(always)]
    fn reserve(_: u64) -> *mut Slot {
        core::ptr::null_mut()
    }

    #[inline(always)]
    fn hint(_: *mut Slot) -> u32 {
        record::NONE
    }

    #[inline(always)]
    fn put(_: *mut Slot, call: &Slot) {
        let thread = call.owner as u32;
        let inside = COUNTERS.at(counter::OVERFLOWING);
        if OVERFLOW.get_ptr(&thread).is_some() {
            note(counter::RETURN_MISSED);
        } else {
            // Before the insert, so that the return never sees too low a number.
            add(inside, 1);
        }
        if OVERFLOW.insert(&thread, call, u64::from(BPF_ANY)).is_err() {
            note(counter::SLOT_FULL);
            add(inside, 1_u64.wrapping_neg());
        }
    }

    #[inline(always)]
    fn release(_: *mut Slot) {}

    #[inline(always)]
    fn take(owner: u64) -> Option<Slot> {
        let inside = COUNTERS.at(counter::OVERFLOWING);
        if load(inside) == 0 {
            return None;
        }
        let thread = owner as u32;
        // SAFETY: only this thread changes its own entry.
        let call = *unsafe { OVERFLOW.get(&thread) }?;
        if OVERFLOW.remove(&thread).is_ok() {
            add(inside, 1_u64.wrapping_neg());
        }
        (call.owner == owner).then_some(call)
    }
}
