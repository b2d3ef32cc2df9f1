//! The node agent.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    accelscope::main(accelscope::SOURCES)
}
