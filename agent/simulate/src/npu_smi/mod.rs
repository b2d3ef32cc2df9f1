//! A stand-in for Huawei's `npu-smi`: it prints every layout that the tool has had, with values that move, and can fail
//! as the tool does.
//!
//! It shares nothing with the parser that reads such output. To let the agent ask it, make a script of two lines and set
//! `ascend.npu_smi` to its path:
//!
//! ```text
//! #!/bin/sh
//! exec agent simulate npu-smi "$@"
//! ```
//!
//! What it plays is said by flags before the tool's own arguments, or by the same flags in the environment variable
//! `ACCELSCOPE_NPU_SMI`, e.g. `ACCELSCOPE_NPU_SMI="--family a3 --cards 8 --pids 4242"`; `npu-smi --help` lists them.

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
