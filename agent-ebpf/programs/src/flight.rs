//! What is between entry and return, in two ways.

use agent_ebpf::{SLOT_PROBES, SLOTS as SLOTS_LEN, Slot, counter};
use aya_ebpf::bindings::BPF_ANY;

use crate::{
    atomic::{add, claim, load, note, store},
    maps::{COUNTERS, OVERFLOW, SLOTS},
};

/// A way to keep a thread's call. `owner` is `pid_tgid`: the thread in the lower half.
pub(crate) trait Flight {
    /// Puts a call down. A former call of the same thread that has not returned is dropped and counted.
    fn put(call: &Slot);
    /// Takes up what the thread put down.
    fn take(owner: u64) -> Option<Slot>;
}

/// In the array, found by the thread's id; in the hash map where all its places are taken.
pub(crate) struct InSlots;

/// In the hash map only.
pub(crate) struct InTable;

#[inline(always)]
fn places(owner: u64) -> Option<*mut [Slot; SLOT_PROBES as usize]> {
    // Thread ids count up, so neighbours get places of their own.
    SLOTS.get_ptr_mut(owner as u32 & (SLOTS_LEN / SLOT_PROBES - 1))
}

#[inline(always)]
fn owner_of(slot: *mut Slot) -> *mut u64 {
    // SAFETY: only the field's address is taken.
    unsafe { &raw mut (*slot).owner }
}

#[inline(always)]
fn fill(slot: *mut Slot, call: &Slot) {
    // SAFETY: the slot is claimed by this thread, which is in the kernel and so nowhere else; the agent reads the fields
    // behind `began`, which is written last.
    unsafe {
        (*slot).record = call.record;
        (*slot).device = call.device;
        (*slot).command = call.command;
        (*slot).finish = call.finish;
        (*slot).argument = call.argument;
        core::ptr::write_volatile(&raw mut (*slot).began, call.began);
    }
}

impl Flight for InSlots {
    #[inline(always)]
    fn put(call: &Slot) {
        let Some(places) = places(call.owner) else { return };
        for place in 0..SLOT_PROBES as usize {
            let slot = places.cast::<Slot>().wrapping_add(place);
            if load(owner_of(slot)) == call.owner {
                note(counter::RETURN_MISSED);
                // SAFETY: this thread's own slot, as in `fill`.
                unsafe { core::ptr::write_volatile(&raw mut (*slot).began, 0) };
                return fill(slot, call);
            }
        }
        for place in 0..SLOT_PROBES as usize {
            let slot = places.cast::<Slot>().wrapping_add(place);
            let owner = owner_of(slot);
            if load(owner) == 0 && claim(owner, call.owner) {
                return fill(slot, call);
            }
        }
        InTable::put(call);
    }

    #[inline(always)]
    fn take(owner: u64) -> Option<Slot> {
        let places = places(owner)?;
        for place in 0..SLOT_PROBES as usize {
            let slot = places.cast::<Slot>().wrapping_add(place);
            if load(owner_of(slot)) == owner {
                // SAFETY: this thread's own slot, as in `fill`.
                let call = unsafe { *slot };
                // SAFETY: the same.
                unsafe { core::ptr::write_volatile(&raw mut (*slot).began, 0) };
                store(owner_of(slot), 0);
                return Some(call);
            }
        }
        InTable::take(owner)
    }
}

impl Flight for InTable {
    #[inline(always)]
    fn put(call: &Slot) {
        let thread = call.owner as u32;
        // Counted first, so that the return never sees too low a number.
        let Some(inside) = COUNTERS.get_ptr_mut(counter::OVERFLOWING) else {
            return;
        };
        // SAFETY: only asked whether it is there.
        if unsafe { OVERFLOW.get(&thread) }.is_some() {
            note(counter::RETURN_MISSED);
        } else {
            add(inside, 1);
        }
        if OVERFLOW.insert(&thread, call, u64::from(BPF_ANY)).is_err() {
            note(counter::SLOT_FULL);
            add(inside, 1_u64.wrapping_neg());
        }
    }

    #[inline(always)]
    fn take(owner: u64) -> Option<Slot> {
        let inside = COUNTERS.get_ptr_mut(counter::OVERFLOWING)?;
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
