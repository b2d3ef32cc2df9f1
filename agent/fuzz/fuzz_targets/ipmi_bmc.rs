//! A BMC with arbitrary records and answers: see [`accelscope_ipmi::fuzz::bmc`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| accelscope_ipmi::fuzz::bmc(bytes));
