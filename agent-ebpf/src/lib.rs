// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only

//! What the eBPF programs and the agent share: the layout of every map, and the limits.
//!
//! Everything in a map is plain data of fixed layout, without padding that the kernel could leave uninitialised. Values
//! only grow; the agent takes differences. The programs never remove a key.
//!
//! The way of a call: the entry program resolves the device, finds or makes the [`Key`]'s number in `INDEX`, adds one to
//! the [`Record`] of that number, and claims a [`Slot`]. The return program finds its slot, adds duration and error to the
//! same record, and clears the slot. So the key is looked up once a call, and the agent sees what is in flight.

//!
//! Compiled into the programs too, which are not under Apache-2.0: `LICENSE.md` beside this crate.

#![no_std]

pub mod cast;
pub mod events;
pub mod hailo;
pub mod maps;
pub mod nvidia;
pub mod peek;
pub mod settings;
pub mod watched;

pub use events::*;
pub use hailo::*;
pub use maps::*;
pub use nvidia::*;
pub use peek::*;
pub use settings::*;
pub use watched::*;

#[cfg(not(target_arch = "bpf"))]
mod object;
#[cfg(not(target_arch = "bpf"))]
pub use object::OBJECT;
