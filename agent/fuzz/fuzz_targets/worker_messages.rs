//! Arbitrary replies of a worker, from the bytes in the pipe to batches: see [`accelscope_core::fuzz::worker_messages`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| accelscope_core::fuzz::worker_messages(bytes));
