//! The driver's library `libdcmi.so`, in a worker process.
//!
//! It tells what `npu-smi` prints, which is built on it, and more: voltage, clocks, ECC, bandwidth, every process. It
//! tells failures from zeros too. A long-lived process pays for starting the driver's library once, `npu-smi` each time.
//!
//! The library can hang in the driver for minutes (a message to a chip is waited for up to 60 s), so nothing of it runs
//! in the agent: `agent worker ascend` does. There, one thread makes all calls, because the library forbids more; a
//! call that does not return costs the reading that it is part of, and is not made again for ten minutes in the process
//! that follows.

mod layout;
mod library;
mod open;
mod place;
mod points;
mod query;
mod read;
mod vendor;
mod worker;

pub use worker::{Launch, command, library, sampler, serve};
