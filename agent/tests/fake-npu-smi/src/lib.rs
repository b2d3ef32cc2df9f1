//! A stand-in for Huawei's `npu-smi`: prints every layout that the tool has had, with values that change over time, and
//! fails as the tool does.
//!
//! It shares no code with the parser of such output. To let the agent call it, set `ascend.npu_smi` to the path of a
//! script:
//!
//! ```text
//! #!/bin/sh
//! exec fake-npu-smi --family a3 -- "$@"
//! ```
//!
//! A test program with a `main` of its own can be the tool as well: it calls [`main`] with the arguments that follow.
//!
//! Flags choose the layout and the failure. They stand before the tool's own arguments, or in the environment variable
//! `ACCELSCOPE_NPU_SMI`, e.g. `ACCELSCOPE_NPU_SMI="--family a3 --cards 8 --pids 4242"`; `fake-npu-smi --help` lists
//! them.

#![forbid(unsafe_code)]

mod layout;
mod load;
mod options;
mod run;
mod table;
mod topics;

pub use self::layout::Family;
pub use self::options::{Fault, Options};
pub use self::run::{ENVIRONMENT, main};
pub use self::table::table;
