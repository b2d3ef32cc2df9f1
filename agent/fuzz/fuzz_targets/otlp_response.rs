//! An arbitrary response to an OTLP request, over gRPC or HTTP: see [`accelscope_export::fuzz::otlp_response`].
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| accelscope_export::fuzz::otlp_response(bytes));
