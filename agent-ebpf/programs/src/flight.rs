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
    /// Finds a place for a call that begins. `within` says whether it is only a part of a call that the thread has not
    /// ended.
    fn reserve(owner: u64, within: impl Fn(&Slot) -> bool) -> Reserved;
    /// The number of the record that the place's last call had, or [`record::NONE`].
    fn hint(place: *mut Slot) -> u32;
    /// Puts a call down at its place.
    fn put(place: *mut Slot, call: &Slot);
    /// Gives a place back.
    fn release(place: *mut Slot);
    /// Takes up what the thread put down.
    fn take(owner: u64, level: u32) -> Option<Slot>;
    /// What the thread put down was interrupted, and is restarted or not.
    fn interrupt(owner: u64, level: u32, code: u32);
}

/// A place for a call.
pub(crate) struct Reserved {
    /// Null where there is none.
    pub(crate) place: *mut Slot,
    /// The call is part of another, which is counted already.
    pub(crate) within: bool,
    /// The interrupted call that this one may be the restart of.
    pub(crate) before: Before,
}

/// An interrupted call: its record (none: [`record::NONE`]), argument and begin.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    pub(crate) record: u32,
    pub(crate) argument: u64,
    pub(crate) began: u64,
}

impl Before {
    const NONE: Self = Self {
        record: record::NONE,
        argument: 0,
        began: 0,
    };
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

/// Settles a call whose return was not seen when its thread, or another that was given its id, begins one.
#[inline(always)]
fn settle(former: &Slot, owner: u64) -> Before {
    if former.began == 0 {
        return Before::NONE;
    }
    let interrupted = former.finish & INTERRUPTED != 0 && restart_code(former.finish) != RESTART_BLOCK;
    if !interrupted || former.owner != owner {
        note(counter::RETURN_MISSED);
        return Before::NONE;
    }
    // No signal handler has ended it, so the kernel restarts it: now, or after what a handler does. One call, entered twice.
    if let Some(record) = RECORDS.get_ptr_mut(former.record) {
        // SAFETY: an aligned field of a map's value.
        add(unsafe { &raw mut (*record).entered }, 1_u64.wrapping_neg());
    }
    Before {
        record: former.record,
        argument: former.argument,
        began: former.began,
    }
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
    fn reserve(owner: u64, within: impl Fn(&Slot) -> bool) -> Reserved {
        let places = places(owner);
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == owner {
                // SAFETY: this thread's own place, as in `put`.
                let former = unsafe { *slot };
                let within = within(&former);
                let before = if within { Before::NONE } else { settle(&former, owner) };
                if !within {
                    clear(slot);
                }
                return Reserved {
                    place: slot,
                    within,
                    before,
                };
            }
        }
        let reserved = InTable::reserve(owner, within);
        if reserved.within {
            return reserved;
        }
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == 0 && claim(owner_of(slot), owner) {
                return Reserved {
                    place: slot,
                    ..reserved
                };
            }
        }
        reserved
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
            (*place).passed = call.passed;
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
    fn take(owner: u64, level: u32) -> Option<Slot> {
        let places = places(owner);
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == owner {
                // SAFETY: this thread's own place, as in `put`.
                let call = unsafe { *slot };
                if level_of(call.finish) > level {
                    return None;
                }
                clear(slot);
                store(owner_of(slot), 0);
                return Some(call);
            }
        }
        InTable::take(owner, level)
    }

    #[inline(always)]
    fn interrupt(owner: u64, level: u32, code: u32) {
        let places = places(owner);
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == owner {
                return mark(slot, level, code);
            }
        }
        InTable::interrupt(owner, level, code);
    }
}

impl InSlots {
    /// What the thread's interrupted call returned; nothing where it has none.
    #[inline(always)]
    pub(crate) fn interrupted(owner: u64) -> Option<u32> {
        let places = places(owner);
        for place in 0..SLOT_PROBES as usize {
            let slot = places.wrapping_add(place);
            if load(owner_of(slot)) == owner {
                // SAFETY: this thread's own place, as in `put`.
                let finish = unsafe { (*slot).finish };
                return (finish & INTERRUPTED != 0).then_some(restart_code(finish));
            }
        }
        let finish = InTable::of(owner).map(|slot| {
            // SAFETY: only this thread changes its own entry.
            unsafe { (*slot).finish }
        })?;
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
    fn reserve(owner: u64, within: impl Fn(&Slot) -> bool) -> Reserved {
        let mut reserved = Reserved {
            place: core::ptr::null_mut(),
            within: false,
            before: Before::NONE,
        };
        if load(COUNTERS.at(counter::OVERFLOWING)) == 0 {
            return reserved;
        }
        let thread = owner as u32;
        // SAFETY: only this thread changes its own entry; one of a thread that had this id before is changed no more.
        let Some(former) = (unsafe { OVERFLOW.get(&thread) }).copied() else {
            return reserved;
        };
        if former.owner == owner && within(&former) {
            reserved.within = true;
            return reserved;
        }
        reserved.before = settle(&former, owner);
        if OVERFLOW.remove(&thread).is_ok() {
            add(COUNTERS.at(counter::OVERFLOWING), 1_u64.wrapping_neg());
        }
        reserved
    }

    #[inline(always)]
    fn hint(_: *mut Slot) -> u32 {
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
    fn release(_: *mut Slot) {}

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
