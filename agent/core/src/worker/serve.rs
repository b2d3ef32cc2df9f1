//! Server loop of a worker process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::process::{Signal, set_parent_process_death_signal};

use super::fit::fitting;
use super::protocol::{Reply, Request, read_frame};

/// Answers after which all that is done once has been done, and its memory is returned to the kernel.
const FIRST_RELEASE: u64 = 2;
/// Answers between two later returns: ten minutes at the default intervals.
const RELEASE_INTERVAL: u64 = 60;

/// Answers the agent's requests until it closes the pipe. The kernel kills the worker when the agent ends.
pub fn serve(mut sample: impl FnMut(u64) -> Reply<'static>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut input = io::stdin().lock();
    // Vendor code prints to standard output: it is redirected to standard error, and the pipe gets a descriptor of its
    // own.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    let mut answers = 0_u64;
    while let Some(body) = read_frame(&mut input)? {
        let request: Request = serde_json::from_slice(&body)?;
        output.write_all(&fitting(&mut sample(request.id))?)?;
        output.flush()?;
        answers += 1;
        if answers == FIRST_RELEASE || answers.is_multiple_of(RELEASE_INTERVAL) {
            // The worker does its work without it.
            accelscope_memory::release().ok();
        }
    }
    Ok(())
}
