// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What the arguments of a Hailo driver's calls tell. Read at entry, before the driver may change them; counted at return,
//! and only where the driver accepted them.

use agent_ebpf::{
    ChannelKey, EVENT_OWNER, Event, FINISH, FINISH_HAILO_LAUNCH, FINISH_HAILO_MARK, FINISH_HAILO_SWITCH,
    FINISH_NOTHING, HAILO_BUFFERS, HAILO_CONTROL, HAILO_LAUNCH, HAILO_MARK, HailoCommand, HailoKey, Launch, Owned,
    OwnerTold, Record, Slot, counter,
};
use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_probe_read_user};

use crate::{
    atomic::{add, note},
    maps::{CHANNELS, EVENTS, HAILO},
};

/// Reads the argument of a command that is told apart: what to do at return, and with what.
#[inline(always)]
pub(crate) fn enter(abi: u32, command: u32, argument: u64, record: *mut Record) -> (u32, u64) {
    // SAFETY: the agent replaces a layout as a whole and only while no call is in flight; a torn one costs one call's bytes.
    let Some(layout) = (unsafe { HAILO.get(&HailoKey { abi, command }) }) else {
        return (FINISH_NOTHING, 0);
    };
    let read = match layout.kind {
        HAILO_LAUNCH => launch(layout, argument).map(|launch| (FINISH_HAILO_LAUNCH, launch)),
        HAILO_CONTROL => control(layout, argument),
        HAILO_MARK => Some((FINISH_HAILO_MARK, argument)),
        _ => Some((FINISH_NOTHING, 0)),
    };
    read.unwrap_or_else(|| {
        // SAFETY: an aligned field of a map's value.
        add(unsafe { &raw mut (*record).implausible }, 1);
        (FINISH_NOTHING, 0)
    })
}

#[inline(always)]
fn user<T>(address: u64) -> Option<T> {
    // SAFETY: the helper checks the address, and fails where it is not readable user memory.
    unsafe { bpf_probe_read_user(address as *const T) }.ok()
}

#[inline(always)]
fn launch(layout: &HailoCommand, argument: u64) -> Option<u64> {
    let count = user::<u8>(argument.wrapping_add(layout.count_at.into()))?;
    if count == 0 || u16::from(count) > layout.most {
        return None;
    }
    let channel = user::<u8>(argument.wrapping_add(layout.channel_at.into()))?;
    let engine = user::<u8>(argument.wrapping_add(layout.engine_at.into()))?;
    let mut size_at = argument
        .wrapping_add(layout.buffers_at.into())
        .wrapping_add(layout.size_at.into());
    let mut bytes = 0;
    for buffer in 0..HAILO_BUFFERS {
        if buffer >= u16::from(count) {
            break;
        }
        bytes += u64::from(user::<u32>(size_at)?);
        size_at = size_at.wrapping_add(layout.stride.into());
    }
    let input = u16::from(channel) < layout.inputs;
    Some(
        Launch {
            bytes,
            buffers: count,
            engine,
            channel,
            input,
        }
        .pack(),
    )
}

#[inline(always)]
fn control(layout: &HailoCommand, argument: u64) -> Option<(u32, u64)> {
    let opcode = u32::from_be(user::<u32>(argument.wrapping_add(layout.opcode_at.into()))?);
    let finish = if opcode == u32::from(layout.switch_opcode) {
        FINISH_HAILO_SWITCH
    } else {
        FINISH_NOTHING
    };
    Some((finish, 0))
}

/// Counts what was read at entry, after the driver accepted the call.
#[inline(always)]
pub(crate) fn leave(call: &Slot, record: *mut Record) {
    match call.finish & FINISH {
        FINISH_HAILO_LAUNCH => launched(call, record),
        // SAFETY: an aligned field of a map's value.
        FINISH_HAILO_SWITCH => add(unsafe { &raw mut (*record).switches }, 1),
        FINISH_HAILO_MARK => marked(call),
        _ => {}
    }
}

#[inline(always)]
fn launched(call: &Slot, record: *mut Record) {
    let launch = Launch::unpack(call.argument);
    // SAFETY: aligned fields of a map's value.
    unsafe {
        if launch.input {
            add((&raw mut (*record).transfers).cast::<u64>(), launch.buffers.into());
            add((&raw mut (*record).bytes).cast::<u64>(), launch.bytes);
        } else {
            add(
                (&raw mut (*record).transfers).cast::<u64>().add(1),
                launch.buffers.into(),
            );
            add((&raw mut (*record).bytes).cast::<u64>().add(1), launch.bytes);
        }
    }
    let key = ChannelKey {
        record: call.record,
        channel: u32::from(launch.engine) << 16 | u32::from(launch.channel),
    };
    if let Some(count) = CHANNELS.get_ptr_mut(&key) {
        return add(count, 1);
    }
    if CHANNELS.insert(&key, 1, u64::from(BPF_NOEXIST)).is_ok() {
        return;
    }
    match CHANNELS.get_ptr_mut(&key) {
        Some(count) => add(count, 1),
        None => note(counter::CHANNEL_FULL),
    }
}

#[inline(always)]
fn marked(call: &Slot) {
    let Some(busy) = user::<u8>(call.argument) else {
        return note(counter::READ_FAILED);
    };
    let told = OwnerTold {
        event: Event {
            kind: EVENT_OWNER,
            pid: (call.owner >> 32) as u32,
        },
        owned: Owned {
            device: call.device,
            record: call.record,
            busy: u32::from(busy != 0),
            padding: 0,
        },
    };
    match EVENTS.reserve::<OwnerTold>(0) {
        Some(mut entry) => {
            entry.write(told);
            entry.submit(0);
        }
        None => note(counter::EVENT_LOST),
    }
}
