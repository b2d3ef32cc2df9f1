//! The driver's library `libdcmi.so`, in a worker process.
//!
//! It has what `npu-smi` prints, which is built on it, and more: voltage, clocks, ECC, bandwidth, every process. It
//! distinguishes failures from zeros too. A long-lived process starts the driver's library once, `npu-smi` each time.
//!
//! The library can hang in the driver for minutes (a message to a chip is waited for up to 60 s), so it runs in `agent
//! worker ascend`, never in the agent. There, one thread makes all calls, because the library forbids more. A call that
//! does not return or crashes costs the reading that it is part of, and is suspended for ten minutes or longer in the
//! process that follows.

mod layout;
mod library;
mod open;
mod place;
mod points;
mod query;
mod read;
mod reader;
mod worker;

pub use worker::{Launch, command, library, sampler, serve};
