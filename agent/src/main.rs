//! The node agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    accelscope::main(accelscope::SOURCES)
}
