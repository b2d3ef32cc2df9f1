//! A stack for the program that suffices, whatever limit it was started with.

use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, getrlimit};

use crate::cli::EXIT_FAILED;
use crate::standard_error;

/// Bytes with which the main thread does all work.
const LEAST: u64 = 1 << 20;
/// Stack of the thread that does it where the main thread has less, as is usual for main threads.
const OWN: usize = 8 << 20;

/// Runs it on the main thread, or where that has little stack (`RLIMIT_STACK`) on another one.
pub(crate) fn with_enough(run: impl FnOnce() -> ExitCode + Send + 'static) -> ExitCode {
    let Some(bytes) = getrlimit(Resource::Stack).current.filter(|bytes| *bytes < LEAST) else {
        return run();
    };
    match thread::Builder::new().stack_size(OWN).spawn(run) {
        // What a panic says is out by then.
        Ok(thread) => thread.join().unwrap_or(EXIT_FAILED.into()),
        Err(error) => {
            standard_error::put(format!(
                "agent: its stack may have {bytes} bytes, and a thread with more cannot be started: {error}; raise the limit of \
                 the stack (LimitSTACK=8M of its unit, `ulimit -s 8192`) or of threads (TasksMax of its unit, `ulimit -u`)\n"
            ));
            EXIT_FAILED.into()
        }
    }
}
