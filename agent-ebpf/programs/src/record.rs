// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! From a key to the number of its record.

use agent_ebpf::{
    EVENT_KEY, Event, Ident, Key, KeyMade, OTHER_COMMANDS, OTHER_EXECUTABLES, QuotaKey, Record, SHARES, counter,
};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_probe_read_kernel_str_bytes, generated},
};

use crate::{
    atomic::{add, add_half, load, note},
    caller,
    kernel::{Kernel, Probed},
    maps::{COUNTERS, EVENTS, FREE, IDENTS, INDEX, QUOTA, setting},
};

/// No number.
pub(crate) const NONE: u32 = u32::MAX;
/// Processors take turns often if they do so more than [`OFTEN`] times in this time, ns.
const WINDOW: u64 = 10_000_000;
const OFTEN: u32 = 100;

/// The number of a key's record; made where the key is new. [`NONE`] where there is no room. A thread mostly does again
/// what it did before: the hint, a number of any age, saves the lookup where it still is that key's.
#[inline(always)]
pub(crate) fn number(key: &mut Key, hint: u32, processor: u32) -> u32 {
    let share = share(processor);
    if let Some(ident) = IDENTS.get(hint)
        && ident.valid == 1
        && is_same(&ident.key, key)
        && (ident.key.variant == share || (ident.key.variant == 0 && ident.shared == 0))
    {
        return hint;
    }
    let number = match lookup(key) {
        NONE => return make(key),
        number => number,
    };
    match IDENTS.get_ptr_mut(number) {
        Some(ident) if share != 0 && is_shared(ident) => of_share(key, share, number),
        _ => number,
    }
}

/// Whether both are of the same calls, whatever processor counts them.
#[inline(always)]
fn is_same(one: &Key, other: &Key) -> bool {
    one.cgroup_v2 == other.cgroup_v2
        && one.cgroup_v1 == other.cgroup_v1
        && one.executable == other.executable
        && one.pid == other.pid
        && one.device == other.device
        && one.command == other.command
}

/// A processor's share in a key's variant; 0 where keys are not shared.
#[inline(always)]
fn share(processor: u32) -> u32 {
    if setting!(shares) == 0 {
        0
    } else {
        (processor & (SHARES - 1)) + 1
    }
}

#[inline(always)]
fn is_shared(ident: *mut Ident) -> bool {
    // SAFETY: an aligned field of a map's value.
    unsafe { core::ptr::read_volatile(&raw const (*ident).shared) == 1 }
}

#[inline(always)]
fn set_shared(number: u32, shared: u64) {
    if let Some(ident) = IDENTS.get_ptr_mut(number) {
        // SAFETY: an aligned field of a map's value, for which any of several writers will do.
        unsafe { core::ptr::write_volatile(&raw mut (*ident).shared, shared) };
    }
}

/// The number of a processor's own record beside that of all; made where it is new. That of all where there is no room.
#[inline(never)]
#[unsafe(no_mangle)]
fn of_share(key: &mut Key, share: u32, all: u32) -> u32 {
    key.variant = share;
    let found = lookup(key);
    if found != NONE {
        return found;
    }
    if has_room()
        && let Ok(Some(number)) = FREE.pop()
    {
        if describe(key, number).is_ok() {
            add(COUNTERS.at(counter::SHARES), 1);
            return number;
        }
        let _pushed = FREE.push(number, 0);
    }
    set_shared(all, 0);
    all
}

#[inline(always)]
fn has_room() -> bool {
    load(COUNTERS.at(counter::SHARES)) < u64::from(setting!(shares))
}

/// Notes that the current processor counts in a record. Where several take turns often, the record is shared from then on:
/// what two of them change by turns costs each of them more than all else here.
#[inline(always)]
pub(crate) fn take_turn(record: *mut Record, number: u32, processor: u32, now: u64) {
    if setting!(shares) == 0 {
        return;
    }
    // SAFETY: an aligned field of a map's value, as in `turn`.
    let turns = unsafe { core::ptr::read_volatile(&raw const (*record).turns) };
    if (turns >> 32) as u32 != processor {
        turn(record, number, now, u64::from(processor) << 32, turns as u32);
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
fn turn(record: *mut Record, number: u32, now: u64, processor: u64, turns: u32) {
    // SAFETY: aligned fields of a map's value: plain loads and stores, for which any of several writers will do.
    unsafe {
        if now.wrapping_sub(core::ptr::read_volatile(&raw const (*record).since)) > WINDOW {
            core::ptr::write_volatile(&raw mut (*record).since, now);
            core::ptr::write_volatile(&raw mut (*record).turns, processor | 1);
            return;
        }
        core::ptr::write_volatile(&raw mut (*record).turns, processor | u64::from(turns.wrapping_add(1)));
    }
    if turns >= OFTEN && has_room() {
        set_shared(number, 1);
    }
}

#[inline(always)]
fn lookup(key: &Key) -> u32 {
    // SAFETY: keys are removed by the agent only after their control group has ended; a number read here stays a valid
    // place in the arrays whatever happens.
    unsafe { INDEX.get(key) }.copied().unwrap_or(NONE)
}

/// The way of a key's first call. Not inlined: it is long and rare. Its own name, because the compiler's would hold a hash of
/// the folder in which this was built.
#[inline(never)]
#[unsafe(no_mangle)]
fn make(key: &mut Key) -> u32 {
    let group = QuotaKey {
        cgroup_v2: key.cgroup_v2,
        cgroup_v1: key.cgroup_v1,
    };
    // SAFETY: the value is only read and added to atomically.
    let made = unsafe { QUOTA.get(&group) }.copied().unwrap_or(0);
    let quota = setting!(quota);
    if made >= quota {
        note(counter::FOLDED);
        key.variant = OTHER_COMMANDS;
        key.command = 0;
        key.pid = 0;
        let found = lookup(key);
        if found != NONE {
            return found;
        }
        // Many executables exhaust a quota as well as many commands; the last fold is bounded by the devices.
        if made >= quota.saturating_mul(2) {
            key.variant |= OTHER_EXECUTABLES;
            key.executable = 0;
            let found = lookup(key);
            if found != NONE {
                return found;
            }
        }
    }
    let Ok(Some(number)) = FREE.pop() else {
        note(counter::KEY_FULL);
        return NONE;
    };
    match describe(key, number) {
        Ok(()) => {
            charge(&group);
            number
        }
        Err(()) => {
            // Another processor made the same key in the meantime, or the map is full.
            let _pushed = FREE.push(number, 0);
            let found = lookup(key);
            if found == NONE {
                note(counter::KEY_FULL);
            }
            found
        }
    }
}

/// Writes whose record it is, then shows the key to everybody. Not inlined, so that it is there once.
#[inline(never)]
#[unsafe(no_mangle)]
fn describe(key: &Key, number: u32) -> Result<(), ()> {
    let Some(ident) = IDENTS.get_ptr_mut(number) else {
        return Err(());
    };
    let task = Probed::task();
    let leader = Probed::word(task, setting!(offsets.task_leader));
    // SAFETY: has no preconditions.
    let tgid = (unsafe { generated::bpf_get_current_pid_tgid() } >> 32) as u32;
    // SAFETY: the number came from `FREE`, so nobody else writes this value; the agent does not read it before `valid`.
    let ident = unsafe { &mut *ident };
    ident.pid = tgid;
    ident.started = Probed::word(leader, setting!(offsets.task_started));
    ident.shared = 0;
    name(task, key, &mut ident.name);
    ident.key = *key;
    INDEX.insert(key, number, u64::from(BPF_NOEXIST)).map_err(|_| ())?;
    // SAFETY: as above. After the insert, whose lock orders the writes before it.
    unsafe { core::ptr::write_volatile(&raw mut ident.valid, 1) };
    match EVENTS.reserve::<KeyMade>(0) {
        Some(mut entry) => {
            entry.write(KeyMade {
                event: Event {
                    kind: EVENT_KEY,
                    pid: tgid,
                },
                record: number,
                padding: 0,
            });
            entry.submit(0);
        }
        None => note(counter::EVENT_LOST),
    }
    Ok(())
}

/// The name that is shown for the key's executable. It stays empty where the file was renamed meanwhile: a name of another
/// key would be wrong for as long as this one lives.
#[inline(always)]
fn name(task: u64, key: &Key, name: &mut [u8; agent_ebpf::NAME]) {
    name[0] = 0;
    let from = caller::shown::<Probed>(task, caller::entry::<Probed>(task));
    if from == 0 || key.variant & OTHER_EXECUTABLES != 0 {
        return;
    }
    // SAFETY: the helper checks the address, and writes at most the length of the slice, zero included.
    if unsafe { bpf_probe_read_kernel_str_bytes(from as *const u8, name) }.is_err() {
        name[0] = 0;
        return note(counter::READ_FAILED);
    }
    if caller::executable::<Probed>(task) != key.executable {
        name[0] = 0;
    }
}

/// One key more for a control group.
#[inline(always)]
fn charge(group: &QuotaKey) {
    if let Some(count) = QUOTA.get_ptr_mut(group) {
        add_half(count, 1);
    } else {
        // Two first keys at once count as one: the quota is a bound against floods, not an account.
        let _inserted = QUOTA.insert(group, 1, u64::from(BPF_ANY));
    }
}
