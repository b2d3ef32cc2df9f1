//! Server loop of a worker process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use rustix::process::{Signal, set_parent_process_death_signal};

use super::protocol::{Reply, Request, frame, read_frame};

/// Answers the agent's requests until it closes the pipe. The kernel kills the worker when the agent ends.
pub fn serve(mut sample: impl FnMut(u64) -> Reply<'static>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut input = io::stdin().lock();
    // Vendor code prints to standard output: it is redirected to standard error, and the pipe gets a descriptor of its
    // own.
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(io::stderr())?;
    while let Some(body) = read_frame(&mut input)? {
        let request: Request = serde_json::from_slice(&body)?;
        output.write_all(&frame(&sample(request.id))?)?;
        output.flush()?;
    }
    Ok(())
}
