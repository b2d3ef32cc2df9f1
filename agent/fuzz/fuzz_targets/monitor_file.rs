//! An arbitrary monitor file of HailoRT, from its name and bytes to points: see [`accelscope_hailo::fuzz::monitor_file`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| accelscope_hailo::fuzz::monitor_file(bytes));
