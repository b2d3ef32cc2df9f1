//! A `libnvidia-ml.so.1` with answers defined by a file, for the tests of the agent's worker.
//!
//! It follows the documentation in NVIDIA's `nvml.h` 13.5 and writes numbers to the offsets that gcc gives to the
//! fields of its structures on 64-bit Linux; it shares no declaration with the agent. The file is named by
//! `FAKE_NVML_STATE`, by default the library's path with `.json` appended. It is examined in every call, so that a test
//! can change it while the library is in use. Replace it by renaming: content that cannot be parsed is ignored.
//!
//! ```json
//! {
//!   "init": 0,                              // what nvmlInit_v2 answers
//!   "generation": 1,                        // another number: the driver was loaded anew, every handle is void
//!   "wide": false,                          // whether the third process lists have 32 bytes a process
//!   "values": {"nvmlSystemGetDriverVersion": "580.82.07"},
//!   "fail":  {"nvmlDeviceGetName": 999},    // here for all devices, in a device for it alone
//!   "hang":  {"nvmlDeviceGetName": "forever" or "once" or SECONDS},
//!   "crash": {"nvmlDeviceGetName": "abort" or "segv"},
//!   "events": [{"device": 0, "type": 8, "data": 79, "gi": 3, "ci": 0, "set": 1}],   // only ever append; "set":
//!                                           // the device whose event set receives it, if it is another
//!   "devices": [{
//!     "values": {"nvmlDeviceGetName": "H100", "nvmlDeviceGetTemperature": {"0": 40}},
//!     "lost": false, "fail": {}, "hang": {}, "crash": {},
//!     "fields": {"186": {"type": 1, "value": 250000, "return": 0}, "138/0": {"value": 5}},   // number or number/scope
//!     "compute": [{"pid": 1, "memory": 5, "gi": 1, "ci": 0}], "graphics": [], "mps": [],
//!     "says": {"compute": 3},               // the length in an answer INSUFFICIENT_SIZE, where it is a lie
//!     "utilization": [{"pid": 1, "time": 5, "sm": 10, "memory": 1, "encoder": 0, "decoder": 0}],
//!     "samples": {"1": [[5, 100]]},         // by type: time in microseconds, value
//!     "gpm": {"supported": 1, "metrics": {"1": 50.5, "2": {"total": 7}}, "instances": {"3": {"1": 1.5}}},
//!     "mig": {"mode": 1, "slots": [null, {"gi": 1, "ci": 0, "values": {}, "compute": []}]}
//!   }]
//! }
//! ```
//!
//! A value is a scalar, an array for several results, or an object by argument (`"1"`, `"0,1"`); a versioned function
//! uses the value of the name without version if it has none of its own. Without a value, a function returns
//! `NOT_SUPPORTED`. For a GPM `total` the result is the difference between two samples. If `<state>.calls` exists,
//! every call is appended to it.
//!
//! Aborts the process on uses that the header forbids, such as GPM samples less than 100 ms apart.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::missing_safety_doc,
    clippy::not_unsafe_ptr_arg_deref,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "it stands for a library written in C, and ends the process when it is broken"
)]

mod call;
mod device;
mod events;
mod gpm;
mod lists;
mod memory;
mod mig;
mod state;
mod system;

/// Codes of `nvmlReturn_t`.
mod code {
    use std::ffi::c_int;

    pub(crate) const SUCCESS: c_int = 0;
    pub(crate) const UNINITIALIZED: c_int = 1;
    pub(crate) const INVALID_ARGUMENT: c_int = 2;
    pub(crate) const NOT_SUPPORTED: c_int = 3;
    pub(crate) const NOT_FOUND: c_int = 6;
    pub(crate) const INSUFFICIENT_SIZE: c_int = 7;
    pub(crate) const TIMEOUT: c_int = 10;
    pub(crate) const GPU_IS_LOST: c_int = 15;
    pub(crate) const ARGUMENT_VERSION_MISMATCH: c_int = 25;
    pub(crate) const UNKNOWN: c_int = 999;
}

/// Ends the process: the caller broke a rule of the header.
fn forbidden(what: &str) -> ! {
    eprintln!("fake libnvidia-ml: {what}");
    std::process::abort()
}
