// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! A call's entry and return, whatever hook tells them.

use agent_ebpf::{
    BUCKETS, ErrorKey, FINISH, FINISH_NOTHING, LEVEL_COMPAT, NVIDIA, Slot, Watched, at_level, counter, level_of, passed,
};
use aya_ebpf::{bindings::BPF_NOEXIST, helpers::generated};

use crate::{
    atomic::{add, note},
    caller,
    flight::Flight,
    hailo,
    kernel::{Kernel, processor},
    maps::{ERRORS, RECORDS},
    nvidia, record,
};

/// The largest errno, as in `linux/err.h`.
const MAX_ERRNO: i64 = 4095;
/// The results of `linux/errno.h` that the kernel turns into a restart of the call, or into `EINTR`.
const ERESTARTSYS: i64 = 512;
const ERESTART_RESTARTBLOCK: i64 = 516;
/// What a driver's function returns for a command that it does not know, and what the caller gets instead.
const ENOIOCTLCMD: i64 = 515;
const ENOTTY: i64 = 25;

/// A call to a watched device begins, as seen by a hook of this level ([`agent_ebpf::level_of`]).
#[inline(always)]
pub(crate) fn enter<K: Kernel, F: Flight>(task: u64, watched: &Watched, command: u32, argument: u64, level: u32) {
    let passed = passed(command, argument);
    let command = if watched.arguments == NVIDIA {
        nvidia::command(command, argument)
    } else {
        command
    };
    let owner = K::pid_tgid(task);
    let mut key = caller::key::<K>(task, (owner >> 32) as u32, watched, command);
    // Before the place is found, for the verifier follows the long way of a new key once for each way to here.
    let processor = processor();
    let number = record::number(&mut key, F::hint(owner), processor);
    let Some(record) = RECORDS.get_ptr_mut(number) else {
        return;
    };
    let place = F::reserve(owner, |former| {
        let outer = level_of(former.finish);
        // A thread that is in no call of a 32-bit program has left that one unseen.
        outer > level && former.device == watched.device && (outer != LEVEL_COMPAT || K::compat(task))
    });
    let Some(place) = place else { return };
    // SAFETY: has no preconditions.
    let now = unsafe { generated::bpf_ktime_get_ns() };
    // SAFETY: an aligned field of a map's value.
    add(unsafe { &raw mut (*record).entered }, 1);
    record::take_turn(record, number, processor, now);
    let (finish, argument) = match watched.arguments {
        0 | NVIDIA => (FINISH_NOTHING, argument),
        hailo => hailo::enter(hailo, command, argument, record),
    };
    let call = Slot {
        owner,
        began: now,
        record: number,
        device: watched.device,
        command,
        finish: finish | at_level(level),
        argument,
        passed,
    };
    F::put(place, &call);
}

/// The current thread's call returns, if it was one that counts; as seen by a hook of this level. `passed` is what
/// [`Slot::passed`] has to be, where that is known: else it is another call, whose entry was not seen.
#[inline(always)]
pub(crate) fn leave<F: Flight>(result: i64, level: u32, passed: Option<u64>) {
    let owner = F::caller();
    let code = -result;
    if (ERESTARTSYS..=ERESTART_RESTARTBLOCK).contains(&code) && code != ENOIOCTLCMD {
        return F::interrupt(owner, level, code as u32);
    }
    if let Some(call) = F::take(owner, level) {
        if let Some(passed) = passed
            && call.passed != passed
        {
            return note(counter::RETURN_MISSED);
        }
        end(&call, if code == ENOIOCTLCMD { -ENOTTY } else { result });
    }
}

/// Counts a call that has ended.
#[inline(always)]
pub(crate) fn end(call: &Slot, result: i64) {
    if call.record == record::NONE {
        return note(counter::ENTRY_MISSED);
    }
    // SAFETY: has no preconditions.
    let took = unsafe { generated::bpf_ktime_get_ns() }.saturating_sub(call.began);
    let Some(record) = RECORDS.get_ptr_mut(call.record) else {
        return;
    };
    let failed = result < 0 && result >= -MAX_ERRNO;
    if failed {
        error(ErrorKey {
            record: call.record,
            errno: (-result) as u32,
        });
        // SAFETY: an aligned field of a map's value.
        add(unsafe { &raw mut (*record).failed }, 1);
    } else if call.finish & FINISH != FINISH_NOTHING {
        hailo::leave(call, record);
    }
    // The bucket last: an agent that reads it before the rest never takes a call that failed for one that succeeded.
    // SAFETY: aligned fields of a map's value, and a bucket within the array.
    unsafe {
        add(&raw mut (*record).duration, took);
        add((&raw mut (*record).buckets).cast::<u64>().add(bucket(took)), 1);
    }
}

/// The place of a duration among bounds of 1 µs × 4^k: a binary search, for a loop would cost more than the rest.
#[inline(always)]
fn bucket(took: u64) -> usize {
    const fn bound(k: u32) -> u64 {
        1000 << (2 * k)
    }
    let mut k = 0;
    if took > bound(7) {
        k = 8;
    }
    if took > bound(k + 3) {
        k += 4;
    }
    if k < 12 {
        if took > bound(k + 1) {
            k += 2;
        }
        if took > bound(k) {
            k += 1;
        }
    }
    (k as usize).min(BUCKETS - 1)
}

#[inline(always)]
fn error(key: ErrorKey) {
    if let Some(count) = ERRORS.get_ptr_mut(&key) {
        return add(count, 1);
    }
    if ERRORS.insert(&key, 1, u64::from(BPF_NOEXIST)).is_ok() {
        return;
    }
    match ERRORS.get_ptr_mut(&key) {
        Some(count) => add(count, 1),
        None => note(counter::ERROR_FULL),
    }
}
