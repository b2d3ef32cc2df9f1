// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What is between entry and return, in two ways.

use agent_ebpf::{INTERRUPTED, SLOT_PROBES, SLOTS as SLOTS_LEN, Slot, counter, interrupted, level_of, restart_code};
use aya_ebpf::bindings::BPF_ANY;

use crate::{
    atomic::{add, claim, load, note, store},
    kernel::{Direct, Kernel, Probed},
    maps::{COUNTERS, OVERFLOW, RECORDS, SLOTS},
    record,
};

/// `ERESTART_RESTARTBLOCK` of `linux/errno.h`: goes on in a system call of its own, restart_syscall(2).
const RESTART_BLOCK: u32 = 516;

/// A way to keep a thread's call. `owner` is the process id and, in the lower half, the thread id. Programs of a lower
/// level than that of a call ([`agent_ebpf::level_of`]) neither end nor interrupt it.
pub(crate) trait Flight {
    /// Process id (upper half) and thread id of the current task.
    fn caller() -> u64;
    /// Finds a place for a call that begins; null where this way has none. Nothing where it is only a part of a call that
    /// the thread has not ended, as `within` says.
    fn reserve(owner: u64, within: impl Fn(&Slot) -> bool) -> Option<*mut Slot>;
    /// The number of the record that the last call at the thread's first place had, or [`record::NONE`].
    fn hint(owner: u64) -> u32;
    /// Puts a call down at its place.
    fn put(place: *mut Slot, call: &Slot);
    /// Takes up what the thread put down.
    fn take(owner: u64, level: u32) -> Option<Slot>;
    /// What the thread put down was interrupted, and is restarted or not.
    fn interrupt(owner: u64, level: u32, code: u32);
}

/// In the array, found by the thread's id; in the hash map where all its places are taken.
pub(crate) struct InSlots;

/// In the hash map only.
pub(crate) struct InTable;

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

/// Settles a call whose return was not seen when its thread, or another that was given its id, begins one; whether the new
/// one may be its restart.
#[inline(always)]
fn settle(former: *const Slot, owner: u64) -> bool {
    // SAFETY: aligned fields of a map's value that no other thread writes.
    let (began, finish, of, number) = unsafe { ((*former).began, (*former).finish, (*former).owner, (*former).record) };
    if began == 0 {
        return false;
    }
    let interrupted = finish & INTERRUPTED != 0 && restart_code(finish) != RESTART_BLOCK;
    if !interrupted || of != owner {
        note(counter::RETURN_MISSED);
        return false;
    }
    // No signal handler has ended it, so the kernel restarts it: now, or after what a handler does. One call, entered twice.
    if let Some(record) = RECORDS.get_ptr_mut(number) {
        // SAFETY: an aligned field of a map's value.
        add(unsafe { &raw mut (*record).entered }, 1_u64.wrapping_neg());
    }
    true
}

/// The number of the first of the thread's places that is as wanted, [`NOWHERE`] where there is none. Any number is possible
/// for any of them, so the verifier need not follow all that comes after once for each.
#[inline(always)]
fn find(owner: u64, wanted: impl Fn(*mut u64) -> bool) -> u32 {
    // Thread ids count up, so neighbours get places of their own.
    for probe in 0..SLOT_PROBES {
        let number = (owner as u32).wrapping_add(probe) & (SLOTS_LEN - 1);
        if wanted(owner_of(SLOTS.at(number))) {
            return number;
        }
    }
    NOWHERE
}

const NOWHERE: u32 = u32::MAX;

/// The number of the place that holds the thread's call.
#[inline(always)]
fn own(owner: u64) -> u32 {
    find(owner, |place| load(place) == owner)
}

/// Notes in a slot of this thread that its call was interrupted.
#[inline(always)]
fn mark(slot: *mut Slot, level: u32, code: u32) {
    // SAFETY: an aligned field of a map's value that no other thread writes while the call has not returned.
    unsafe {
        let finish = (*slot).finish;
        if level_of(finish) <= level {
            core::ptr::write_volatile(&raw mut (*slot).finish, interrupted(finish, code));
        }
    }
}

impl Flight for InSlots {
    #[inline(always)]
    fn caller() -> u64 {
        Direct::caller()
    }

    #[inline(always)]
    fn reserve(owner: u64, within: impl Fn(&Slot) -> bool) -> Option<*mut Slot> {
        let own = own(owner);
        if own != NOWHERE {
            let slot = SLOTS.at(own);
            // SAFETY: this thread's own place, as in `put`.
            if within(unsafe { &*slot }) {
                return None;
            }
            // What a restart goes on with stays: `put` looks at it.
            if !settle(slot, owner) {
                clear(slot);
            }
            return Some(slot);
        }
        InTable::reserve(owner, within)?;
        let free = find(owner, |place| load(place) == 0 && claim(place, owner));
        if free == NOWHERE {
            return Some(core::ptr::null_mut());
        }
        Some(SLOTS.at(free))
    }

    #[inline(always)]
    fn hint(owner: u64) -> u32 {
        // SAFETY: an aligned field of a map's value; any number will do.
        unsafe { core::ptr::read_volatile(&raw const (*SLOTS.at(owner as u32)).record) }
    }

    #[inline(always)]
    fn put(place: *mut Slot, call: &Slot) {
        if place.is_null() {
            return InTable::put(place, call);
        }
        // SAFETY: the place is claimed by this thread, which is in the kernel and so nowhere else; the agent heeds the
        // fields only where `began`, written last, is not 0.
        unsafe {
            let restarted = (*place).began != 0 && (*place).device == call.device && (*place).passed == call.passed;
            let began = if restarted { (*place).began } else { call.began };
            (*place).record = call.record;
            (*place).device = call.device;
            (*place).command = call.command;
            (*place).finish = call.finish;
            (*place).argument = call.argument;
            (*place).passed = call.passed;
            core::ptr::write_volatile(&raw mut (*place).began, began);
        }
    }

    #[inline(always)]
    fn take(owner: u64, level: u32) -> Option<Slot> {
        let own = own(owner);
        if own == NOWHERE {
            return InTable::take(owner, level);
        }
        let slot = SLOTS.at(own);
        // SAFETY: this thread's own place, as in `put`.
        let call = unsafe { *slot };
        if level_of(call.finish) > level {
            return None;
        }
        clear(slot);
        store(owner_of(slot), 0);
        Some(call)
    }

    #[inline(always)]
    fn interrupt(owner: u64, level: u32, code: u32) {
        match own(owner) {
            NOWHERE => InTable::interrupt(owner, level, code),
            own => mark(SLOTS.at(own), level, code),
        }
    }
}

impl InSlots {
    /// What the thread's interrupted call returned; nothing where it has none.
    #[inline(always)]
    pub(crate) fn interrupted(owner: u64) -> Option<u32> {
        let slot = match own(owner) {
            NOWHERE => InTable::of(owner)?,
            own => SLOTS.at(own),
        };
        // SAFETY: only this thread changes its own call.
        let finish = unsafe { (*slot).finish };
        (finish & INTERRUPTED != 0).then_some(restart_code(finish))
    }
}

impl InTable {
    /// The thread's entry.
    #[inline(always)]
    fn of(owner: u64) -> Option<*mut Slot> {
        if load(COUNTERS.at(counter::OVERFLOWING)) == 0 {
            return None;
        }
        let slot = OVERFLOW.get_ptr_mut(&(owner as u32))?;
        // SAFETY: an aligned field of a map's value; thread ids are used again, process and thread together less soon.
        (unsafe { (*slot).owner } == owner).then_some(slot)
    }
}

impl Flight for InTable {
    #[inline(always)]
    fn caller() -> u64 {
        Probed::pid_tgid(0)
    }

    #[inline(always)]
    fn reserve(owner: u64, within: impl Fn(&Slot) -> bool) -> Option<*mut Slot> {
        let none = Some(core::ptr::null_mut());
        if load(COUNTERS.at(counter::OVERFLOWING)) == 0 {
            return none;
        }
        let thread = owner as u32;
        let Some(former) = OVERFLOW.get_ptr(&thread) else {
            return none;
        };
        // SAFETY: only this thread changes its own entry; one of a thread that had this id before is changed no more.
        if unsafe { (*former).owner == owner && within(&*former) } {
            return None;
        }
        settle(former, owner);
        if OVERFLOW.remove(&thread).is_ok() {
            add(COUNTERS.at(counter::OVERFLOWING), 1_u64.wrapping_neg());
        }
        none
    }

    #[inline(always)]
    fn hint(_: u64) -> u32 {
        record::NONE
    }

    #[inline(always)]
    fn put(_: *mut Slot, call: &Slot) {
        let thread = call.owner as u32;
        let inside = COUNTERS.at(counter::OVERFLOWING);
        // Before the insert, so that the return never sees too low a number.
        add(inside, 1);
        if OVERFLOW.insert(&thread, call, u64::from(BPF_ANY)).is_err() {
            note(counter::SLOT_FULL);
            add(inside, 1_u64.wrapping_neg());
        }
    }

    #[inline(always)]
    fn take(owner: u64, level: u32) -> Option<Slot> {
        let slot = Self::of(owner)?;
        // SAFETY: only this thread changes its own entry.
        let call = unsafe { *slot };
        if level_of(call.finish) > level {
            return None;
        }
        if OVERFLOW.remove(&(owner as u32)).is_ok() {
            add(COUNTERS.at(counter::OVERFLOWING), 1_u64.wrapping_neg());
        }
        Some(call)
    }

    #[inline(always)]
    fn interrupt(owner: u64, level: u32, code: u32) {
        if let Some(slot) = Self::of(owner) {
            mark(slot, level, code);
        }
    }
}
