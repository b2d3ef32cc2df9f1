//! The agent with one source more.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut sources = accelscope::SOURCES.to_vec();
    sources.push(&example_source::SOURCE);
    accelscope::main(sources.leak())
}
