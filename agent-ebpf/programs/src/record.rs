// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! From a key to the number of its record.

use agent_ebpf::{EVENT_KEY, Event, Key, KeyMade, OTHER_COMMAND, OTHER_EXECUTABLE, QuotaKey, counter};
use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    helpers::{bpf_probe_read_kernel_str_bytes, generated},
};

use crate::{
    atomic::{add_half, note},
    kernel::{Kernel, Probed},
    maps::{EVENTS, FREE, IDENTS, INDEX, QUOTA, setting},
};

/// No number.
pub(crate) const NONE: u32 = u32::MAX;

/// The number of a key's record; made where the key is new. [`NONE`] where there is no room. A thread mostly does again
/// what it did before: the hint, a number of any age, saves the lookup where it still is that key's.
#[inline(always)]
pub(crate) fn number(key: &mut Key, hint: u32) -> u32 {
    if let Some(ident) = IDENTS.get(hint)
        && ident.valid == 1
        && ident.key == *key
    {
        return hint;
    }
    match lookup(key) {
        NONE => make(key),
        number => number,
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
        key.command = OTHER_COMMAND;
        key.pid = 0;
        let found = lookup(key);
        if found != NONE {
            return found;
        }
        // Many executables exhaust a quota as well as many commands; the last fold is bounded by the devices.
        if made >= quota.saturating_mul(2) {
            key.executable = OTHER_EXECUTABLE;
            key.executable_device = 0;
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

/// Writes whose record it is, then shows the key to everybody.
#[inline(always)]
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
    ident.key = *key;
    ident.pid = tgid;
    ident.started = Probed::word(leader, setting!(offsets.task_started));
    name(task, leader, &mut ident.name);
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

/// The executable's base name, else the leader's `comm`.
#[inline(always)]
fn name(task: u64, leader: u64, name: &mut [u8; agent_ebpf::NAME]) {
    let mm = Probed::word(task, setting!(offsets.task_mm));
    let file = Probed::word(mm, setting!(offsets.mm_exe_file));
    let entry = Probed::word(file, setting!(offsets.file_dentry));
    let text = Probed::word(entry, setting!(offsets.dentry_name));
    let comm = setting!(offsets.task_comm);
    name[0] = 0;
    let from = if text != 0 {
        text
    } else if leader != 0 && comm != u32::MAX {
        leader + u64::from(comm)
    } else {
        return;
    };
    // SAFETY: the helper checks the address, and writes at most the length of the slice, zero included.
    if unsafe { bpf_probe_read_kernel_str_bytes(from as *const u8, name) }.is_err() {
        name[0] = 0;
        note(counter::READ_FAILED);
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
