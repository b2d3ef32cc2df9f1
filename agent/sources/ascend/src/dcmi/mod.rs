//! The driver's library `libdcmi.so`, in a worker process.
//!
//! It has the values of `npu-smi`, which is built on it, and more: voltage, clocks, ECC, bandwidth, every process. It
//! also distinguishes failures from zeros. A long-lived process initialises the driver's library once, `npu-smi` at
//! each call.
//!
//! The library can hang in the driver for minutes (a message to a chip has a timeout of up to 60 s), so it runs in
//! `agent worker ascend`, never in the agent. There, one thread makes all calls, because the library does not support
//! more. A call that does not return or crashes loses the reading that it is part of, and is suspended for ten minutes
//! or longer in the next process.

mod layout;
mod library;
mod open;
mod place;
mod read;
mod reader;
mod worker;

/// Part of the source that the library reads; the tool's has no name.
pub(crate) const PART: &str = "dcmi";

pub use worker::{Launch, command, library, sampler, serve};
