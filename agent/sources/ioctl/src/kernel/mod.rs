//! Everything between the agent and the kernel: offsets, the selector of hooks, and the maps that the programs fill.
//!
//! What drains the maps sees [`Kernel`] only, so that it is tested without a kernel that allows anything.

pub mod btf;
pub mod budget;
mod bytes;
mod calibrate;
mod environment;
mod event;
mod explain;
mod hailo;
mod hierarchy;
mod live;
mod load;
#[expect(unsafe_code, reason = "memory that is shared with the kernel")]
mod mapped;
mod object;
pub mod offsets;
mod programs;
mod refusal;
mod report;
mod selector;
#[expect(unsafe_code, reason = "system calls that no crate wraps")]
mod sys;
mod tables;
mod tracefs;
mod watch;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use agent_ebpf::{ChannelKey, ErrorKey, Ident, Record, Slot};

pub use self::event::Event;
pub use self::explain::explain_hooks;
pub use self::hierarchy::V1;
pub use self::live::{Live, Options};
pub use self::report::{Driver, Obstacle, Report};
use super::Device;
pub use crate::HookKind;

/// A device to watch, at its place in the caller's list: the number that keys, slots and events carry.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// Its place. Stays with the device as long as a record names it.
    pub place: u32,
    /// The device.
    pub device: &'a Device,
}

/// What the programs counted, and what may be done about it. One drain is, in this order: [`events`](Self::events),
/// [`slots`](Self::slots), [`records`](Self::records) with the maps beside them, [`settle`](Self::settle).
///
/// Nothing here fails for good: a map that could not be read gives nothing in that drain, and its values, which only
/// grow, are had in the next.
pub trait Kernel: Send {
    /// What happened since the last drain. Events that were lost are counted in [`agent_ebpf::counter::EVENT_LOST`].
    fn events(&mut self, visit: &mut dyn FnMut(Event<'_>));

    /// A descriptor that becomes readable when there are [`events`](Self::events); nothing where there are none to come.
    fn ready(&self) -> Option<BorrowedFd<'_>>;

    /// The calls in flight, those of the overflow map included. A call that begins or ends meanwhile may be missing.
    fn slots(&mut self, visit: &mut dyn FnMut(&Slot));

    /// Frees the place of a call whose thread is gone, so that it never returns. Nothing happens if another call is there
    /// now.
    fn release(&mut self, slot: &Slot);

    /// Every record with its number and whose it is, those of retired keys included until [`settle`](Self::settle) names
    /// them.
    fn records(&mut self, visit: &mut dyn FnMut(u32, &Ident, &Record));

    /// Failed calls by errno.
    fn errors(&mut self, visit: &mut dyn FnMut(ErrorKey, u64));

    /// Hailo launches by channel.
    fn channels(&mut self, visit: &mut dyn FnMut(ChannelKey, u64));

    /// What was not recorded, by [`agent_ebpf::counter`].
    fn counters(&self) -> [u64; agent_ebpf::COUNTERS as usize];

    /// Gives up the key of a record: its control group is empty and its values stand still. Should the key be met again,
    /// it gets another number. The record itself stays until [`settle`](Self::settle) names it.
    fn retire(&mut self, number: u32);

    /// Ends a drain. Names each retired record that no call in flight can reach any more: what the
    /// [`records`](Self::records) of this drain gave was its last value, and its number is free.
    fn settle(&mut self, freed: &mut dyn FnMut(u32));

    /// Watches these devices and no others. Hooks are attached and detached as their drivers need; a driver that came or
    /// went is noticed here.
    fn watch(&mut self, devices: &[Watch<'_>]);

    /// Which hook is in use for which driver, and what the kernel refused.
    fn report(&self) -> &Report;

    /// Kernel memory of all maps in bytes.
    fn memory(&self) -> u64;

    /// What one reading of `CLOCK_MONOTONIC` is in the programs' terms: the age of a slot is this less
    /// [`Slot::began`].
    fn now(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
}
